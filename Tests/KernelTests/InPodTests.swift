import Attribution
import BPF
import Foundation
import Lab
import Testing

/// The rules that keep a redirected connection in its caller's network namespace, and the agent at its far end.
@Suite(.serialized, .timeLimit(.minutes(10)))
struct InPodTests {
    private static let connect = ["connect", "plain", LabNode.metadataAddress, "80"]
    private static let port = "\(PodListeners.ports.upperBound)"

    @Test("a process of another pod that entered the namespace is its own pod's")
    func foreignEntrant() async throws {
        try await withGuards { lab in
            let pod = try await lab.addPod("a")
            let other = try await lab.addPod("b")
            for (cgroup, expected) in [(pod.containerCgroup, pod), (other.containerCgroup, other)] {
                let client = try pod.attack(Self.connect, as: .unprivileged, cgroup: cgroup)
                let connection = try lab.accept()
                let tag = try #require(lab.datapath.tag(ofAcceptedSocket: connection))
                #expect(tag.ancestors[1] == (try lab.podID(expected)).rawValue)
                #expect(tag.networkNamespaceCookie == (try pod.network.run { try NetworkNamespaceID.current().cookie }))
                close(connection)
                _ = await client.result()
            }
        }
    }

    @Test("a socket that was redirected is no pod's when it then connects to the listener itself")
    func strayNote() async throws {
        try await withGuards { lab in
            let pod = try await lab.addPod("a")
            for listener in ["127.0.0.1", "::ffff:127.0.0.1", "::1", "0.0.0.0", "::", "::ffff:0.0.0.0"] {
                let first = listener.contains(":") ? LabNode.metadataAddress6 : LabNode.metadataAddress
                let client = try pod.attack(["stray", first, "80", listener, Self.port], as: .unprivileged)
                let redirected = try lab.accept()
                let direct = try lab.accept()
                #expect(lab.datapath.tag(ofAcceptedSocket: direct) == nil)
                for connection in [redirected, direct] { close(connection) }
                _ = await client.result()
            }
        }
    }

    @Test("a connection that comes with another's address by translation in the pod gets no tag")
    func translatedInPod() async throws {
        try await withGuards { lab in
            let pod = try await lab.addPod("a")
            let inPod = ["nsenter", "--net=\(pod.network.path)", "--", "nft", "-f", "-"]
            try await Command.require(
                inPod,
                input: """
                    table ip nidlab_lend {
                        chain away {
                            type nat hook output priority -100
                            meta skuid 65534 ip daddr 127.0.0.1 tcp dport \(Self.port) redirect to :1234
                        }
                        chain with {
                            type nat hook postrouting priority 100
                        }
                    }

                    """)
            let elsewhere = try pod.network.listen(host: "127.0.0.1", port: 1234)
            defer { close(elsewhere) }
            let victim = try pod.attack(["keep-alive", LabNode.metadataAddress, "80"], as: .unprivileged)
            try #require(lab.hasConnection(on: elsewhere, within: 60_000 * CInt(LabKernel.patience)))
            let (lent, port) = try Self.acceptWithPort(elsewhere)
            defer { close(lent) }
            try await Command.require(
                inPod,
                input: """
                    add rule ip nidlab_lend with meta skuid 0 ip daddr 127.0.0.1 tcp dport \(Self.port) snat to \
                    127.0.0.1:\(port)

                    """)
            let attacker = try pod.attack(["connect", "plain", "127.0.0.1", Self.port], as: .ordinary)
            let connection = try lab.accept()
            #expect(lab.datapath.tag(ofAcceptedSocket: connection) == nil)
            let counts = try [lab.count("mismatched"), lab.count("untagged")]
            #expect(counts == [1, 0])
            close(connection)
            #expect(!(await attacker.result().output.contains("answered")))
            victim.signal(SIGKILL)
            _ = await victim.result()
        }
    }

    @Test("packets of a redirected connection leave by the loopback interface or not at all", arguments: ["4", "6"])
    func routedAway(family: String) async throws {
        try await withGuards { lab in
            let pod = try await lab.addPod("a")
            // The owner of the namespace routes its loopback address to the node, and the node takes it for its own.
            let loopback = family == "4" ? "127.0.0.1" : "::1"
            let address = family == "4" ? LabNode.metadataAddress : LabNode.metadataAddress6
            let inPod = ["nsenter", "--net=\(pod.network.path)", "--"]
            for network in [pod.network, lab.node.network] {
                try await Command.require(
                    ["nsenter", "--net=\(network.path)", "--", "sysctl", "-qw", "net.ipv4.conf.all.route_localnet=1"])
            }
            let hop = family == "4" ? "via \(LabNode.address)" : ""
            try await Command.require(inPod + ["ip", "-\(family)", "rule", "add", "pref", "1", "lookup", "55"])
            try await Command.require(
                inPod + ["ip", "-\(family)", "rule", "add", "pref", "5", "lookup", "local"])
            try await Command.require(inPod + ["ip", "-\(family)", "rule", "del", "pref", "0"])
            try await Command.require(
                inPod + ["sh", "-c", "ip -\(family) route add \(loopback) \(hop) dev eth0 table 55"])
            let client = try pod.attack(
                ["connect", "plain", address, "80"] + (family == "4" ? [pod.address, "40001"] : []), as: .ordinary)
            #expect(await client.result().output == "connect: EINPROGRESS\n")
            #expect(try await lab.counts("dropped_off_loopback"))
            #expect(try lab.listeners.accept(within: 0) == nil)
        }
    }

    @Test("the hooks of an installation have ended when its pins are removed, although its process still runs")
    func removal() async throws {
        try await withGuards { lab in
            let host = try lab.node.network.run { try lab.datapath.ownNamespace() }
            let pod = try await lab.addPod("a")
            try lab.datapath.setNode(
                host, agentCgroup: try #require(lab.cgroups.id(of: [UInt8](pod.containerCgroup.utf8))))
            #expect(throws: (any Error).self) { try lab.node.network.listen(host: "127.0.0.1", port: 988) }
            _ = try lab.configuration.pinDirectory.remove()
            close(try lab.node.network.listen(host: "127.0.0.1", port: 988))
        }
    }

    @Test("no process but those of the agent's cgroup binds its ports in the node's namespace; elsewhere everybody may")
    func bindGuard() async throws {
        try await withGuards { lab in
            let pod = try await lab.addPod("a")
            let onHost = try await lab.node.addPod(RunningPodSpecification(name: "on-host", isHostNetwork: true))
            let host = try lab.node.network.run { try lab.datapath.ownNamespace() }
            let agent = try #require(lab.cgroups.id(of: [UInt8](pod.containerCgroup.utf8)))
            let inNode = lab.node.processCommand + [try Attacker.program()]
            func bound(_ address: String, _ port: UInt16) async throws -> [String] {
                let arguments = ["bind", address, "\(port)"]
                let outside = try Command(inNode + arguments)
                return [try await onHost.attack(.ordinary, arguments), await outside.result().output]
            }
            let refused = Array(repeating: "bind: \(LabKernel.refusalToBind)\n", count: 2)
            #expect(try await bound("127.0.0.1", 988) == ["listening\n", "listening\n"])
            try lab.datapath.setNode(host, agentCgroup: agent)
            for address in ["127.0.0.1", "0.0.0.0", "::", "::1", "::ffff:127.0.0.1"] {
                #expect(try await bound(address, 988) == refused, "\(address)")
            }
            #expect(try await bound("127.0.0.1", 981) == refused)
            #expect(try lab.count("refused_bind") == 12)
            #expect(try await bound("127.0.0.1", 989) == ["listening\n", "listening\n"])
            // The agent's own process, and one in a namespace of its own.
            for (network, cgroup) in [(onHost, pod.containerCgroup), (pod, onHost.containerCgroup)] {
                let port = network.name == "a" ? "987" : "988"
                let command = try network.attack(["bind", "127.0.0.1", port], as: .ordinary, cgroup: cgroup)
                #expect(await command.result().output == "listening\n")
            }
        }
    }

    @Test("a namespace that gets no listener is refused at once")
    func refusedNamespace() async throws {
        try await withGuards { lab in
            let pod = try await lab.node.addPod(RunningPodSpecification(name: "a", quality: .burstable))
            try lab.refreshKubepods()
            let id = try pod.network.run { try lab.datapath.ownNamespace() }
            try lab.datapath.setListener(
                NamespaceListener(port: 0, hasIPv4: false, hasIPv6: false, state: .refuse), ofNamespace: id.cookie)
            #expect(lab.datapath.listeners().map(\.key) == [id.cookie])
            #expect(try await pod.attack(.unprivileged, Self.connect) == "connect: \(LabKernel.refusal)\n")
            #expect(try lab.count("refused_namespace") == 1)
            #expect(try lab.count("held") == 0)
        }
    }

    /// Accepts, and tells the client's port.
    private static func acceptWithPort(_ listener: CInt) throws -> (CInt, UInt16) {
        var address = sockaddr_in()
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let connection = unsafe withUnsafeMutablePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe accept(listener, $0, &length)
            }
        }
        guard connection >= 0 else { throw LabError("accept: errno \(errno)") }
        return (connection, UInt16(bigEndian: address.sin_port))
    }
}
