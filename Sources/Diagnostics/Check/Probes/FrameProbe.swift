import Attribution
import BPF
import CSockets
import Glibc
import Linux
import Operations
import Settings

/// Packets to protected addresses that arrive in the node's network namespace from an interface. A pod with a network
/// stack of its own (gVisor) or with `CAP_NET_RAW` can send such packets. No socket hook sees them.
///
/// Each is a SYN whose checksum is 0 and whose hop limit is 1: no server answers it, and no router forwards it.
struct FrameProbe {
    enum Outcome: Equatable {
        /// The guard counted as many packets as were sent.
        case dropped
        /// The guard did not count so many of the packets that were sent.
        case passed(Int)
        /// Nothing was sent: why.
        case untried(String)
    }

    /// The device's name; the kernel removes it with this process.
    private static let device = "podidentd-check"
    private static let protocolTCP: UInt8 = 6
    /// Addresses of documentation (RFC 5737, RFC 3849): no host has them.
    private static let source = (
        ipv4: [192, 0, 2, 1] as [UInt8], ipv6: [0x20, 0x01, 0x0d, 0xb8] + [UInt8](repeating: 0, count: 12)
    )

    let destinations: [IPAddress]
    let port: UInt16

    /// Sends the packets, and compares what the guard counted. A received packet has passed the guard when write(2)
    /// returns.
    func run(count: () throws(BPFError) -> UInt64) throws(BPFError) -> Outcome {
        let device = unsafe nid_make_device(Self.device)
        guard device >= 0 else {
            return .untried("no network device can be made: \(errorText(errno))")
        }
        defer { close(device) }
        let before = try count()
        for destination in destinations {
            let packet = Self.packet(to: destination, port: port)
            guard unsafe write(device, packet, packet.count) == packet.count else {
                return .untried("no packet can be sent: \(errorText(errno))")
            }
        }
        let missing = destinations.count - Int(clamping: try count() &- before)
        return missing > 0 ? .passed(missing) : .dropped
    }

    /// An IP packet with a TCP header.
    static func packet(to destination: IPAddress, port: UInt16) -> [UInt8] {
        let segment: [UInt8] = [
            0x80, 0, UInt8(port >> 8), UInt8(port & 0xff), 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0x02, 0xff, 0xff, 0, 0, 0, 0,
        ]
        switch destination {
        case .ipv4:
            var header: [UInt8] = [0x45, 0, 0, UInt8(20 + segment.count), 0, 0, 0x40, 0, 1, protocolTCP, 0, 0]
            header += source.ipv4 + destination.bytes
            let sum = checksum(header)
            header[10] = UInt8(sum >> 8)
            header[11] = UInt8(sum & 0xff)
            return header + segment
        case .ipv6:
            return [0x60, 0, 0, 0, 0, UInt8(segment.count), protocolTCP, 1] + source.ipv6 + destination.bytes + segment
        }
    }

    /// Computes an IPv4 header's checksum (RFC 1071). The kernel drops a packet with a wrong one before any hook sees
    /// it.
    private static func checksum(_ header: [UInt8]) -> UInt16 {
        var sum: UInt32 = 0
        for index in stride(from: 0, to: header.count, by: 2) {
            sum += UInt32(header[index]) << 8 | UInt32(header[index + 1])
        }
        while sum > 0xffff { sum = (sum & 0xffff) + (sum >> 16) }
        return ~UInt16(sum)
    }
}

extension PostureCheck {
    /// Tries the guard in the node's network namespace with real packets.
    func frames(isInstalled: Bool) -> [Posture.Item] {
        let id = "guards.frames"
        let maps = PinnedMaps(below: pins)
        do throws(BPFError) {
            // Without the guard the item guards.host says so, and no packet is let loose.
            guard isInstalled, try HostGuard.installed(below: pins) != nil else { return [] }
            let probe = FrameProbe(destinations: configuration.redirectEndpoints.map(\.value), port: 80)
            switch try probe.run(count: maps.packetsDroppedByHostGuard) {
            case .dropped:
                return [Posture.Item(id, .ok, "packets that arrived from an interface were dropped and counted")]
            case .passed(let number):
                return [
                    Posture.Item(
                        id, .unsafe,
                        "\(number) of \(probe.destinations.count) packets that arrived from an interface were not dropped",
                        meaning:
                            "Sandboxed pods (gVisor), and pods with CAP_NET_RAW, reach protected addresses. Run the "
                            + "check in the node's own network namespace. If it was: restart the agent.")
                ]
            case .untried(let reason):
                return [
                    Posture.Item(
                        id, .untried, reason,
                        meaning: "guards.host says whether the guard is in place. Run 'podidentd check' as root on the "
                            + "node to try it.")
                ]
            }
        } catch {
            return [Posture.Item(id, .unknown, "\(error)")]
        }
    }
}
