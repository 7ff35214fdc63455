import BPF
import Foundation
import Lab
import Synchronization

/// Listening sockets in the agent's place: on 127.0.0.1 and ::1 of each network namespace, bound to its loopback interface.
final class PodListeners: Sendable {
    static let ports: ClosedRange<UInt16> = 981...988

    private struct State {
        var descriptors: [CInt] = []
        var cookies: Set<UInt64> = []
    }

    private let datapath: Datapath
    private let state = Mutex(State())

    init(_ datapath: Datapath) {
        self.datapath = datapath
    }

    deinit {
        closeAll()
    }

    /// Listens in a namespace, unless it does so already, and has the hooks redirect to it.
    @discardableResult
    func open(in network: Lab.NetworkNamespace, port: UInt16 = ports.upperBound) throws -> NetworkNamespaceID {
        let id = try network.run { [datapath] in try datapath.ownNamespace() }
        guard state.withLock({ $0.cookies.insert(id.cookie).inserted }) else { return id }
        let sockets = try network.run { try [AF_INET, AF_INET6].map { try Self.listen($0, port: port) } }
        state.withLock { $0.descriptors += sockets }
        for socket in sockets { try datapath.markListener(socket) }
        try datapath.setListener(
            NamespaceListener(port: port, hasIPv4: true, hasIPv6: true, state: .open), ofNamespace: id.cookie)
        return id
    }

    /// Closes every listener, which the hooks go on redirecting to.
    func closeAll() {
        let descriptors = state.withLock { state in
            defer { state.descriptors = [] }
            return state.descriptors
        }
        for descriptor in descriptors { close(descriptor) }
    }

    /// The next connection, whoever's; `nil`: none within this time.
    func accept(within milliseconds: CInt) throws -> CInt? {
        var polled = state.withLock(\.descriptors).map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
        guard unsafe poll(&polled, nfds_t(polled.count), milliseconds) > 0,
            let ready = polled.first(where: { $0.revents & Int16(POLLIN) != 0 })
        else { return nil }
        // The kernel looks for the caller when it is asked for the peer's address.
        var address = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let connection = unsafe withUnsafeMutablePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                unsafe Foundation.accept(ready.fd, address, &length)
            }
        }
        guard connection >= 0 else { throw LabError("accept: errno \(errno)") }
        return connection
    }

    private static func listen(_ family: CInt, port: UInt16) throws -> CInt {
        let descriptor = socket(family, CInt(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw LabError("socket: errno \(errno)") }
        var one: CInt = 1
        let size = socklen_t(MemoryLayout<CInt>.size)
        unsafe setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, size)
        unsafe setsockopt(descriptor, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3)
        let bound: CInt
        if family == AF_INET6 {
            unsafe setsockopt(descriptor, CInt(IPPROTO_IPV6), IPV6_V6ONLY, &one, size)
            var address = sockaddr_in6()
            address.sin6_family = sa_family_t(AF_INET6)
            address.sin6_port = port.bigEndian
            unsafe inet_pton(AF_INET6, "::1", &address.sin6_addr)
            bound = unsafe withUnsafePointer(to: &address) { pointer in
                unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    unsafe bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in6>.size))
                }
            }
        } else {
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = port.bigEndian
            address.sin_addr.s_addr = INADDR_LOOPBACK.bigEndian
            bound = unsafe withUnsafePointer(to: &address) { pointer in
                unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    unsafe bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
        }
        guard bound == 0, Foundation.listen(descriptor, 4096) == 0 else {
            defer { close(descriptor) }
            throw LabError("listen at port \(port): errno \(errno)")
        }
        return descriptor
    }
}
