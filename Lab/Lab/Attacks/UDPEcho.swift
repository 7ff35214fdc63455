import Foundation
import NIOCore

/// A UDP server that sends back what it receives: DNS and NTP on the metadata address, as far as the redirect cares.
package final class UDPEcho: Sendable {
    private let descriptor: CInt
    /// Signalled when the socket is closed.
    private let ended = DispatchSemaphore(value: 0)

    /// Starts a server on an address inside `network`.
    package init(host: String, port: Int, in network: NetworkNamespace) throws {
        let address = try SocketAddress(ipAddress: host, port: port)
        descriptor = try network.run {
            let family = address.protocol == .inet6 ? AF_INET6 : AF_INET
            let descriptor = socket(family, CInt(SOCK_DGRAM.rawValue), 0)
            guard unsafe address.withSockAddr({ unsafe bind(descriptor, $0, socklen_t($1)) }) == 0 else {
                throw LabError("cannot bind \(host):\(port): \(errno)")
            }
            return descriptor
        }
        let descriptor = descriptor
        let ended = ended
        Thread {
            Self.echo(descriptor)
            ended.signal()
        }.start()
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

    /// Returns when the address is free again, for the next one that asks for it.
    package func stop() {
        shutdown(descriptor, CInt(SHUT_RDWR))
        _ = ended.wait(timeout: .now() + 1)
    }
}
