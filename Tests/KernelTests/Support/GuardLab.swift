import Attribution
import BPF
import Foundation
import Lab
import Testing

/// A node with hooks and guards, listening sockets in the agent's place, and one in the machine's metadata server's.
struct GuardLab {
    let node: LabNode
    let cgroups: CgroupFileSystem
    let configuration: DatapathConfiguration
    let datapath: Datapath
    let listeners: PodListeners
    let trap: CInt

    func hasConnection(on descriptor: CInt, within milliseconds: CInt = 0) -> Bool {
        var polled = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        return unsafe poll(&polled, 1, milliseconds) == 1
    }

    func accept() throws -> CInt {
        guard let connection = try listeners.accept(within: 60_000 * CInt(LabKernel.patience)) else {
            throw LabError("nobody connected within a minute")
        }
        return connection
    }

    func count(_ name: String) throws -> UInt64 { try datapath.counters()[name] }

    /// Whether the kernel counts something within a minute: it may drop a packet after its sender has given up.
    func counts(_ name: String) async throws -> Bool {
        let deadline = ContinuousClock.now + .seconds(60) * LabKernel.patience
        while try count(name) == 0 {
            guard ContinuousClock.now < deadline else { return false }
            await Task.yield()
        }
        return true
    }

    func podID(_ pod: RunningPod) throws -> CgroupID {
        try #require(cgroups.id(of: [UInt8](pod.cgroup.utf8)))
    }

    /// Tells the programs the kubepods cgroup, with the QoS classes that exist by now, and the trees of others.
    func refreshKubepods(others: [KubepodsCgroup.OtherTree] = []) throws {
        let root = try KubepodsRoot(node.kubepods)
        let kubepods = try #require(try cgroups.locate(root.path))
        try datapath.setKubepods(
            KubepodsCgroup(
                id: kubepods.id, level: kubepods.level, qosClasses: root.qosClassPaths.map { cgroups.id(of: $0) },
                others: others
            )
        )
    }

    /// Takes hooks away, to see what they were good for. To remove their pins alone would do it too, at some time.
    func detach(_ hooks: String...) throws {
        for hook in hooks { try PinnedLink.detach(at: configuration.pinDirectory.path + "/links/\(hook)") }
    }

    /// Takes the host guard away, whatever it is made of.
    func detachHostGuard() throws {
        guard case .active(.nftables) = datapath.hostGuard else { return try detachGuardLinks() }
        #expect(try node.network.run { try HostGuard.removeTable() } == "table inet podidentd")
    }

    private func detachGuardLinks() throws {
        for hook in datapath.hooks.map(\.name)
        where ["forward", "translated", "input"].contains(String(hook.dropLast())) { try detach(hook) }
    }

    func addPod(
        _ name: String, quality: CgroupLayout.QualityOfService = .burstable
    ) async throws -> RunningPod {
        let pod = try await node.addPod(RunningPodSpecification(name: name, quality: quality))
        try refreshKubepods()
        if !LabKernel.makesCookies {
            // The program at bind asks for it, for a process below the hooks: a nested node's do not reach this one.
            let bind = ["bind", "127.0.0.1", "\(PodListeners.ports.upperBound)"]
            _ = await (try pod.attack(bind, as: .ordinary)).result()
        }
        try listeners.open(in: pod.network)
        return pod
    }
}

/// Runs `body` on a fresh node whose agent guards it, and takes the node down whatever happens.
///
/// With `isInstalled` the hooks know who is a pod, and the host guard is there.
func withGuards(
    _ mechanism: HostGuard.Mechanism = .preferred, isInstalled: Bool = true, layout: CgroupLayout = .standard,
    _ body: (GuardLab) async throws -> Void
) async throws {
    let node = try await LabNode(layout: layout)
    let pins = PinDirectory(path: node.bpfFileSystem + "/podidentd")
    do {
        try await node.network.ip(
            """
            addr add fd00:ec2::254/128 dev lo nodad
            addr add 168.63.129.16/32 dev lo
            """
        )
        let cgroups = try CgroupFileSystem(mountPoint: node.cgroupMountPointInside)
        let trap = try node.network.listen(host: LabNode.metadataAddress, port: 80)
        defer { close(trap) }
        let azure = IPAddress.ipv4(0xa83f_8110)
        let configuration = DatapathConfiguration(
            pinDirectory: pins,
            endpoints: [.ipv4(0xa9fe_a9fe), .ipv6(0xfd20_00ce_0000_0000, 0x254)],
            protectedEndpoints: [
                ProtectedEndpoint(address: .ipv6(0xfd00_0ec2_0000_0000, 0x254)),
                ProtectedEndpoint(address: azure, port: 80), ProtectedEndpoint(address: azure, port: 32526),
            ],
            requiresHostGuard: true,
            hostGuardMechanism: mechanism,
            listenPorts: PodListeners.ports
        )
        // The host guard belongs into the node's network namespace.
        let datapath = try node.network.run {
            isInstalled
                ? try Datapath.guarded(configuration, cgroups: cgroups) : try Datapath(configuration, cgroups: cgroups)
        }
        let lab = GuardLab(
            node: node, cgroups: cgroups, configuration: configuration, datapath: datapath,
            listeners: PodListeners(datapath), trap: trap
        )
        if isInstalled { try lab.refreshKubepods() }
        try await body(lab)
    } catch {
        _ = try? pins.remove()
        await node.tearDown()
        throw error
    }
    _ = try pins.remove()
    await node.tearDown()
}

extension HostGuard.Mechanism {
    /// The features that this kernel must have, by its version, so that no test goes missing where a probe fails.
    static let expected: [Self] = LabKernel.hasNetfilterLinks ? allCases : [.nftables]
    /// The mechanism that an agent takes if it has the choice.
    static var preferred: Self { expected[0] }
}

extension RunningPod {
    /// The attack program's output.
    func attack(_ attacker: Attacker, _ arguments: String...) async throws -> String {
        try await attack(attacker, arguments)
    }

    func attack(_ attacker: Attacker, _ arguments: [String]) async throws -> String {
        let result = try await attack(arguments, as: attacker).result()
        return result.output.isEmpty ? "status \(result.status): \(result.errorOutput)" : result.output
    }
}
