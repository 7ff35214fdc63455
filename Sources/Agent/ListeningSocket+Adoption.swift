import Attribution
import Glibc

extension ListeningSocket {
    /// One socket for each configured address.
    struct Set {
        var descriptors: [CInt]
        /// Whether they are a predecessor's: connections wait in their queues, and others are open that it accepted from
        /// them. Otherwise the port was free, and every connection to it is older than its owner.
        var areHandedOver: Bool
    }

    /// Takes the offered sockets that listen where the configuration says, and opens the missing ones.
    ///
    /// - Throws: ``PortHeld``, or ``ConfigurationError`` for an address that cannot be bound. Sockets that were offered
    ///   then stay so.
    static func adoptOrOpen(_ configuration: AgentConfiguration, _ offered: OfferedSockets) throws -> Set {
        var addresses = [(configuration.listenAddress, "listen.address")]
        if let address6 = configuration.listenAddress6 { addresses.append((address6, "listen.address6")) }
        var adopted: [CInt] = []
        var opened: [CInt] = []
        do {
            var descriptors: [CInt] = []
            for (address, key) in addresses {
                if let socket = offered.take(address, port: configuration.listenPort) {
                    adopted.append(socket)
                    descriptors.append(socket)
                } else {
                    let socket = try open(address, port: configuration.listenPort, key: key)
                    opened.append(socket)
                    descriptors.append(socket)
                }
            }
            return Set(descriptors: descriptors, areHandedOver: offered.areHandedOver)
        } catch {
            for descriptor in opened { close(descriptor) }
            offered.giveBack(adopted)
            throw error
        }
    }

    /// Whether `descriptor` is a listening TCP socket bound to exactly this address.
    static func listens(_ descriptor: CInt, on address: AgentConfiguration.Address, port: UInt16) -> Bool {
        var isListening: CInt = 0
        var length = socklen_t(MemoryLayout<CInt>.size)
        guard unsafe getsockopt(descriptor, SOL_SOCKET, SO_ACCEPTCONN, &isListening, &length) == 0, isListening == 1
        else { return false }
        var name = sockaddr_storage()
        length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let result = unsafe withUnsafeMutablePointer(to: &name) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
                unsafe getsockname(descriptor, pointer, &length)
            }
        }
        guard result == 0 else { return false }
        let family = name.ss_family
        return unsafe withUnsafeBytes(of: &name) { buffer in
            switch address.value {
            case .ipv4(let word):
                guard family == sa_family_t(AF_INET) else { return false }
                let name = unsafe buffer.load(as: sockaddr_in.self)
                return name.sin_port == port.bigEndian && name.sin_addr.s_addr == word.bigEndian
            case .ipv6(let high, let low):
                guard family == sa_family_t(AF_INET6) else { return false }
                // sin6_port follows the family, sin6_addr the flow information.
                let words = unsafe (
                    buffer.load(fromByteOffset: 8, as: UInt64.self), buffer.load(fromByteOffset: 16, as: UInt64.self)
                )
                return unsafe buffer.load(fromByteOffset: 2, as: UInt16.self) == port.bigEndian
                    && words == (high.bigEndian, low.bigEndian)
            }
        }
    }
}
