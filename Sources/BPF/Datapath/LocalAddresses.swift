import Attribution
import CBPFPrograms
import Glibc

/// The addresses of the network namespace of the calling thread.
struct LocalAddresses {
    private let addresses: Set<IPAddress>

    init() throws(BPFError) {
        var list: UnsafeMutablePointer<ifaddrs>?
        guard unsafe getifaddrs(&list) == 0 else {
            throw BPFError("list the addresses of the network namespace", errorNumber: errno)
        }
        defer { unsafe freeifaddrs(list) }
        var addresses: Set<IPAddress> = []
        var next = unsafe list
        while let entry = unsafe next {
            if let address = unsafe Self.address(entry.pointee.ifa_addr) { addresses.insert(address) }
            unsafe next = entry.pointee.ifa_next
        }
        self.addresses = addresses
    }

    /// Whether one of them is protected, or redirected.
    func contains(anyOf configuration: DatapathConfiguration) -> Bool {
        configuration.endpoints.contains(where: addresses.contains)
            || configuration.protectedEndpoints.contains { addresses.contains($0.address) }
    }

    @unsafe
    private static func address(_ socketAddress: UnsafeMutablePointer<sockaddr>?) -> IPAddress? {
        guard let socketAddress = unsafe socketAddress else { return nil }
        let bytes = UnsafeRawPointer(socketAddress)
        switch unsafe CInt(socketAddress.pointee.sa_family) {
        case AF_INET:
            let address = unsafe bytes.loadUnaligned(as: sockaddr_in.self)
            return .ipv4(UInt32(bigEndian: address.sin_addr.s_addr))
        case AF_INET6:
            let address = unsafe bytes.loadUnaligned(as: sockaddr_in6.self)
            return unsafe withUnsafeBytes(of: address.sin6_addr) { unsafe IPAddress(bytes: Array($0)) }
        default:
            return nil
        }
    }
}
