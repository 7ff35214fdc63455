import Attribution
import Glibc

/// The kernel's form of an address and port.
package struct SocketName {
    package let family: CInt
    private let bytes: [UInt8]

    package init?(_ address: String, port: UInt16) {
        guard let words = IPAddress(address)?.bytes else { return nil }
        family = words.count == 4 ? AF_INET : AF_INET6
        let head =
            unsafe withUnsafeBytes(of: sa_family_t(family)) { unsafe Array($0) } + [
                UInt8(port >> 8), UInt8(port & 0xff),
            ]
        // sockaddr_in ends in eight bytes of nothing; sockaddr_in6 has a flow label before and a scope after.
        let none = [UInt8](repeating: 0, count: 8)
        bytes = family == AF_INET ? head + words + none : head + none.prefix(4) + words + none.prefix(4)
    }

    /// The error number; 0 for success.
    package func connect(_ descriptor: CInt) -> Int32 {
        unsafe withName { unsafe Glibc.connect(descriptor, $0, $1) == 0 ? 0 : errno }
    }

    /// Sends one packet. The error number; 0 for success.
    package func send(_ payload: [UInt8], on descriptor: CInt) -> Int32 {
        unsafe withName { name, length in
            let flags = CInt(MSG_NOSIGNAL)
            return unsafe sendto(descriptor, payload, payload.count, flags, name, length) == payload.count ? 0 : errno
        }
    }

    private func withName(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32) -> Int32 {
        unsafe bytes.withUnsafeBytes { buffer in
            guard let start = buffer.baseAddress else { return EINVAL }
            return unsafe body(start.assumingMemoryBound(to: sockaddr.self), socklen_t(buffer.count))
        }
    }
}
