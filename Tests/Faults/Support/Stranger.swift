import AgentTesting
import CBPFTestPrograms
import CLibbpf
import Foundation
import Lab
import NIOCore

/// A foreign program at `cgroup/connect4`, which redirects one address to a server of its own.
@safe
private final class Stranger {
    private let skeleton: UnsafeMutablePointer<nid_foreign_skeleton>
    private let link: OpaquePointer

    /// Redirects connections from `address` to the server, and attaches to the cgroup at `directory`.
    init(from address: String, toPort port: Int, in directory: String) throws {
        guard let skeleton = unsafe nid_foreign_skeleton__open() else { throw LabError("no stranger: error \(errno)") }
        unsafe skeleton.pointee.rodata.pointee.foreign_from_ip4 = inet_addr(address)
        unsafe skeleton.pointee.rodata.pointee.foreign_to_ip4 = inet_addr(LabNode.address)
        unsafe skeleton.pointee.rodata.pointee.foreign_to_port = UInt16(port).bigEndian
        let cgroup = unsafe open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        defer { close(cgroup) }
        guard cgroup >= 0, unsafe nid_foreign_skeleton__load(skeleton) == 0,
            let link = unsafe bpf_program__attach_cgroup(skeleton.pointee.progs.foreign_connect4, cgroup)
        else {
            let number = errno
            unsafe nid_foreign_skeleton__destroy(skeleton)
            throw LabError("a stranger's program cannot be attached: error \(number)")
        }
        unsafe self.skeleton = skeleton
        unsafe self.link = link
    }

    deinit {
        unsafe bpf_link__destroy(link)
        unsafe nid_foreign_skeleton__destroy(skeleton)
    }
}

/// Runs `body` with two such programs: one in a cgroup below the root, which runs before ours, and one at the root,
/// attached later, which runs after ours. `body` gets the address of each.
func withStranger<Value>(_ stage: FaultStage, _ body: ([String]) async throws -> Value) async throws -> Value {
    let network = stage.world.node.network
    var configuration = LabHTTPServer.Configuration(host: LabNode.address)
    configuration.listener = { host, port in try network.listen(host: host, port: port) }
    let server = LabHTTPServer(configuration) { _ in .text(200, "a stranger") }
    try await server.start()
    let port = server.boundAddress?.port ?? 0
    do {
        let node = stage.world.node
        let addresses = ["192.0.2.10", "192.0.2.11"]
        let before = try Stranger(
            from: addresses[0], toPort: port, in: node.cgroupDirectory("/\(node.identifier)"))
        let after = try Stranger(from: addresses[1], toPort: port, in: node.cgroupMountPoint)
        let value = try await body(addresses)
        withExtendedLifetime((before, after)) {}
        await server.stop()
        return value
    } catch {
        await server.stop()
        throw error
    }
}
