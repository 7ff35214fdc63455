import Attribution
import Glibc
import Linux
package import Settings

/// Listening sockets in the agent's own network namespace: that of `metrics.port`.
package enum ListeningSocket {
    /// Connections that the kernel may hold between handshake and accept.
    private static let backlog: CInt = 4096

    /// Opens a bound, non-blocking socket.
    ///
    /// - Parameters:
    ///   - address: The address to bind.
    ///   - port: The port to bind.
    ///   - key: The address's configuration key, such as `metrics.address`.
    ///   - portKey: The port's configuration key.
    ///   - isDualStack: Whether an IPv6 socket also accepts IPv4.
    /// - Throws: ``PortHeld``, ``ConfigurationError`` for an address of another node, or ``AgentError``.
    /// - Returns: The descriptor, which the caller owns.
    static func open(
        _ address: AgentConfiguration.Address, port: UInt16, key: String, portKey: String,
        isDualStack: Bool = false
    ) throws -> CInt {
        let family =
            switch address.value {
            case .ipv4: AF_INET
            case .ipv6: AF_INET6
            }
        let type = CInt(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
        let descriptor = socket(family, type, 0)
        guard descriptor >= 0 else { throw failure(key, portKey, address, port) }
        var one: CInt = 1
        let length = socklen_t(MemoryLayout<CInt>.size)
        unsafe setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, length)
        if family == AF_INET6, !isDualStack {
            unsafe setsockopt(descriptor, CInt(IPPROTO_IPV6), IPV6_V6ONLY, &one, length)
        }
        guard bind(descriptor, to: address.value, port: port) == 0 else {
            let error = failure(key, portKey, address, port)
            close(descriptor)
            throw error
        }
        return descriptor
    }

    /// Lets connections in. Does no harm to a socket that listens already. The address is for the error.
    static func listen(_ descriptor: CInt, _ address: AgentConfiguration.Address, _ port: UInt16) throws {
        guard Glibc.listen(descriptor, backlog) == 0 else {
            throw failure("metrics.address", "metrics.port", address, port)
        }
    }

    private static func bind(
        _ descriptor: CInt, to address: IPAddress, port: UInt16
    ) -> CInt {
        switch address {
        case .ipv4(let word):
            var name = sockaddr_in()
            name.sin_family = sa_family_t(AF_INET)
            name.sin_port = port.bigEndian
            name.sin_addr.s_addr = word.bigEndian
            return unsafe bind(descriptor, &name)
        case .ipv6(let high, let low):
            var name = sockaddr_in6()
            name.sin6_family = sa_family_t(AF_INET6)
            name.sin6_port = port.bigEndian
            unsafe withUnsafeMutableBytes(of: &name.sin6_addr) { buffer in
                unsafe buffer.storeBytes(of: high.bigEndian, as: UInt64.self)
                unsafe buffer.storeBytes(of: low.bigEndian, toByteOffset: 8, as: UInt64.self)
            }
            return unsafe bind(descriptor, &name)
        }
    }

    @unsafe
    private static func bind<Name>(_ descriptor: CInt, _ name: UnsafeMutablePointer<Name>) -> CInt {
        unsafe name.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
            unsafe Glibc.bind(descriptor, pointer, socklen_t(MemoryLayout<Name>.size))
        }
    }

    private static func failure(
        _ key: String, _ portKey: String, _ address: AgentConfiguration.Address, _ port: UInt16
    ) -> any Error {
        let number = errno
        let place = "cannot listen on \(address.text) port \(port)"
        switch number {
        case EADDRINUSE:
            return PortHeld(
                description: "\(place): another process listens there already; end it, or set \(portKey) to a free port"
            )
        case EADDRNOTAVAIL:
            return ConfigurationError(
                "\(place): it is not an address of this node; set \(key) to one (status.hostIP)")
        default:
            return AgentError("\(place): \(errorText(number))")
        }
    }
}

extension ListeningSocket {
    /// Whether `descriptor` is a listening TCP socket bound to exactly this address.
    package static func listens(_ descriptor: CInt, on address: AgentConfiguration.Address, port: UInt16) -> Bool {
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

/// Another process holds the port (`EADDRINUSE`), which may pass.
struct PortHeld: Error, CustomStringConvertible {
    let description: String
}
