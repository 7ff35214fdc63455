import Attribution
import BPF
import Foundation
import Lab
import Testing

/// A node with the kernel side installed and listening sockets in the agent's place.
struct DatapathLab {
    let node: LabNode
    let cgroups: CgroupFileSystem
    let configuration: DatapathConfiguration
    let datapath: Datapath
    let listeners: PodListeners

    /// Adds a pod, and listens in its network namespace.
    func addPod(_ specification: RunningPodSpecification) async throws -> RunningPod {
        let pod = try await node.addPod(specification)
        try listeners.open(in: pod.network)
        return pod
    }

    /// The next connection to the agent, or an error after a minute.
    func accept() throws -> CInt {
        guard let connection = try listeners.accept(within: 60_000 * CInt(LabKernel.patience)) else {
            throw LabError("nobody connected within a minute")
        }
        return connection
    }

    /// The next connection to another server.
    func accept(on descriptor: CInt) throws -> CInt {
        guard hasConnection(on: descriptor, within: 60_000 * CInt(LabKernel.patience)) else {
            throw LabError("nobody connected within a minute")
        }
        return Foundation.accept(descriptor, nil, nil)
    }

    /// Whether a connection waits to be accepted.
    func hasConnection(on descriptor: CInt, within milliseconds: CInt = 0) -> Bool {
        var polled = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        return unsafe poll(&polled, 1, milliseconds) == 1
    }

    /// Answers an accepted connection with `ok`, and closes it.
    func answer(_ connection: CInt) throws {
        let answer = [UInt8]("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok".utf8)
        var request = [UInt8](repeating: 0, count: 4096)
        guard unsafe recv(connection, &request, request.count, 0) > 0,
            unsafe send(connection, answer, answer.count, CInt(MSG_NOSIGNAL)) == answer.count
        else { throw LabError("the client went away") }
        close(connection)
    }

    /// The lab's own client, run inside `pod`.
    func probe(_ pod: RunningPod, _ arguments: [String]) throws -> Command {
        try pod.start([try Binaries.directory() + "/podidentd-lab", "probe"] + arguments)
    }
}

extension Datapath {
    /// With the host guard, in whichever order: no process is a pod's yet.
    static func guarded(_ configuration: DatapathConfiguration, cgroups: CgroupFileSystem) throws -> Datapath {
        let datapath = try Datapath(configuration, cgroups: cgroups)
        try datapath.guardHost()
        return datapath
    }
}

/// Runs `body` on a fresh node, and takes the node down whatever happens.
func withDatapath(layout: CgroupLayout = .cgroupfs, _ body: (DatapathLab) async throws -> Void) async throws {
    let node = try await LabNode(layout: layout)
    let pins = PinDirectory(path: node.bpfFileSystem + "/podidentd")
    do {
        // The hooks are the machine's, for the listening socket is this process's; everything else is seen from the node.
        let machine = try CgroupFileSystem(mountPoint: node.cgroupMountPoint)
        let cgroups = try CgroupFileSystem(mountPoint: node.cgroupMountPointInside)
        let configuration = DatapathConfiguration(
            pinDirectory: pins,
            endpoints: [.ipv4(0xa9fe_a9fe), .ipv6(0xfd20_00ce_0000_0000, 0x254)],
            listenPorts: PodListeners.ports
        )
        // The host guard belongs into the node's network namespace.
        let datapath = try node.network.run { try Datapath.guarded(configuration, cgroups: machine) }
        let kubepods = try #require(try cgroups.locate([UInt8](node.kubepods.utf8)))
        try datapath.setKubepods(KubepodsCgroup(id: kubepods.id, level: kubepods.level))
        let lab = DatapathLab(
            node: node, cgroups: cgroups, configuration: configuration, datapath: datapath,
            listeners: PodListeners(datapath)
        )
        try await body(lab)
    } catch {
        _ = try? pins.remove()
        await node.tearDown()
        throw error
    }
    #expect(try pins.remove().contains { $0.hasSuffix("links/connect4") })
    await node.tearDown()
}
