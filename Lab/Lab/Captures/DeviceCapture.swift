import Foundation
import Synchronization

/// Reads every frame that passes a device of a network namespace, the loopback device left out.
///
/// In the node's namespace that is every pod's traffic: each pod's interface is a pair whose other end is there.
package final class DeviceCapture: Sendable {
    /// Texts of which every exchange with the agent shows at least one unencrypted.
    private static let markers = ["Metadata-Flavor", "access_token", "ya29."].map { Array($0.utf8) }
    private static let loopback: Int32 = 1
    private static let everyProtocol: UInt16 = 3
    private static let packetFamily: Int32 = 17

    /// How many frames were seen. Counts apart those that carried something of an exchange with a metadata server, and
    /// those to or from one of the agent's ports.
    package struct Counts: Sendable, Equatable {
        package var frames = 0
        package var exchanges = 0
    }

    private let descriptor: Int32
    private let counts = Mutex(Counts())
    private let isStopped = Atomic<Bool>(false)
    private let ended = DispatchSemaphore(value: 0)

    /// Begins at once.
    package init(in network: NetworkNamespace) throws {
        descriptor = try network.run {
            let descriptor = socket(Self.packetFamily, CInt(SOCK_RAW.rawValue), CInt(Self.everyProtocol.bigEndian))
            guard descriptor >= 0 else { throw LabError("no packet socket: \(errno)") }
            var limit = timeval(tv_sec: 0, tv_usec: 100_000)
            unsafe setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
            return descriptor
        }
        Thread { [self] in
            read()
            close(descriptor)
            ended.signal()
        }.start()
    }

    /// How many frames were seen so far.
    package var seen: Int { counts.withLock { $0.frames } }

    /// Ends the capture, and returns what it saw.
    package func stop() -> Counts {
        isStopped.store(true, ordering: .relaxed)
        ended.wait()
        return counts.withLock { $0 }
    }

    private func read() {
        var frame = [UInt8](repeating: 0, count: 65_536)
        // struct sockaddr_ll: family and protocol, then the interface.
        var address = [Int32](repeating: 0, count: 8)
        while true {
            var length = socklen_t(address.count * MemoryLayout<Int32>.size)
            let count = unsafe address.withUnsafeMutableBytes { buffer in
                unsafe recvfrom(
                    descriptor, &frame, frame.count, 0, buffer.baseAddress?.assumingMemoryBound(to: sockaddr.self),
                    &length)
            }
            guard count > 0 else {
                if isStopped.load(ordering: .relaxed) { return }
                continue
            }
            guard address[1] != Self.loopback else { continue }
            let isExchange = Self.isExchange(frame.prefix(count))
            counts.withLock { counts in
                counts.frames += 1
                counts.exchanges += isExchange ? 1 : 0
            }
        }
    }

    /// Looks for a marker anywhere, and for the agent's ports in TCP over Ethernet.
    static func isExchange(_ frame: ArraySlice<UInt8>) -> Bool {
        if ports(frame).contains(where: { (AgentProcess.port - 7...AgentProcess.port).contains($0) }) { return true }
        return markers.contains { frame.firstRange(of: $0) != nil }
    }

    private static func ports(_ frame: ArraySlice<UInt8>) -> [Int] {
        let bytes = Array(frame.prefix(14 + 60 + 4))
        guard bytes.count > 54 else { return [] }
        let start: Int
        switch (bytes[12], bytes[13]) {
        case (0x08, 0x00) where bytes[23] == 6: start = 14 + Int(bytes[14] & 0xf) * 4
        case (0x86, 0xdd) where bytes[20] == 6: start = 54
        default: return []
        }
        guard bytes.count >= start + 4 else { return [] }
        return [0, 2].map { Int(bytes[start + $0]) << 8 | Int(bytes[start + $0 + 1]) }
    }
}
