import Attribution
import Glibc
package import Settings

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
