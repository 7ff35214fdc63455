import Foundation

/// A UDP server that sends back what it receives: DNS and NTP on the metadata address, as far as the redirect cares.
package final class UDPEcho: Sendable {
    private let descriptor: CInt

    /// Starts a server on an IPv4 address inside `network`.
    package init(host: String, port: Int, in network: NetworkNamespace) throws {
        descriptor = try network.run {
            let descriptor = socket(AF_INET, CInt(SOCK_DGRAM.rawValue), 0)
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = in_port_t(port).bigEndian
            unsafe inet_pton(AF_INET, host, &address.sin_addr)
            let result = unsafe withUnsafePointer(to: &address) {
                unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    unsafe bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
            guard result == 0 else { throw LabError("cannot bind \(host):\(port): \(errno)") }
            return descriptor
        }
        let descriptor = descriptor
        Thread { Self.echo(descriptor) }.start()
    }

    /// Ends when the socket is shut down.
    private static func echo(_ descriptor: CInt) {
        var buffer = [UInt8](repeating: 0, count: 2048)
        while true {
            var peer = sockaddr_storage()
            var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
            let count = unsafe withUnsafeMutablePointer(to: &peer) { peer in
                unsafe peer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    unsafe recvfrom(descriptor, &buffer, buffer.count, 0, $0, &length)
                }
            }
            guard count > 0 else { break }
            _ = unsafe withUnsafePointer(to: &peer) { peer in
                unsafe peer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    unsafe sendto(descriptor, buffer, count, 0, $0, length)
                }
            }
        }
        close(descriptor)
    }

    package func stop() {
        shutdown(descriptor, CInt(SHUT_RDWR))
    }
}
