import Attribution
import BPF
import Foundation
import Lab
import Testing

/// A node with the kernel side installed and a listening socket in the agent's place.
struct DatapathLab {
    static let agentPort = 9988

    let node: LabNode
    let cgroups: CgroupFileSystem
    let datapath: Datapath
    let listener: CInt

    var pins: PinDirectory { PinDirectory(path: node.bpfFileSystem + "/podidentd") }

    /// The next connection, or an error after five seconds.
    func accept() throws -> CInt {
        var polled = pollfd(fd: listener, events: Int16(POLLIN), revents: 0)
        guard unsafe poll(&polled, 1, 5000) == 1 else { throw LabError("nobody connected within 5 s") }
        return Foundation.accept(listener, nil, nil)
    }
}

/// Runs `body` on a fresh node, and takes the node down whatever happens.
func withDatapath(_ body: (DatapathLab) async throws -> Void) async throws {
    let node = try await LabNode()
    do {
        let cgroups = try CgroupFileSystem(mountPoint: node.cgroupMountPoint)
        let listener = try node.network.listen(host: LabNode.address, port: DatapathLab.agentPort)
        defer { close(listener) }
        let pins = PinDirectory(path: node.bpfFileSystem + "/podidentd")
        let datapath = try Datapath(
            DatapathConfiguration(
                pinDirectory: pins,
                endpoints: [.ipv4(0xa9fe_a9fe), .ipv6(0xfd20_00ce_0000_0000, 0x254)],
                agentIPv4: 0x0a58_0001,
                agentPort: UInt16(DatapathLab.agentPort)
            ),
            cgroups: cgroups
        )
        let kubepods = [UInt8](node.kubepods.utf8)
        try datapath.setKubepods(
            KubepodsCgroup(
                id: try #require(cgroups.id(of: kubepods)), level: kubepods.count { $0 == UInt8(ascii: "/") })
        )
        try datapath.markListener(listener)
        try await body(DatapathLab(node: node, cgroups: cgroups, datapath: datapath, listener: listener))
        _ = try pins.remove()
    } catch {
        _ = try? PinDirectory(path: node.bpfFileSystem + "/podidentd").remove()
        await node.tearDown()
        throw error
    }
    await node.tearDown()
}
