import Attribution
import BPF
import Foundation
import Lab
import Testing

/// Each guard on the real kernel, and the same attack with the guard taken away: then it must get through.
@Suite(.serialized, .timeLimit(.minutes(10)))
struct GuardTests {
    @Test(
        "a raw socket's packet to the metadata address is dropped at egress, and by nothing else",
        arguments: HostGuard.Mechanism.expected)
    func rawSocket(mechanism: HostGuard.Mechanism) async throws {
        try await withGuards(mechanism) { lab in
            let pod = try await lab.addPod("a")
            let syn = ["raw", "whole", pod.address, LabNode.metadataAddress, "80"]
            #expect(try await pod.attack(syn, as: .ordinary).result().output == "send: EPERM\n")
            #expect(try lab.count("dropped_egress") == 1)
            try lab.detach("egress")
            #expect(try await pod.attack(syn, as: .ordinary).result().output == "sent, no answer\n")
            #expect(try lab.count("dropped_forward") == 1)
            try lab.detachHostGuard()
            #expect(try await pod.attack(syn, as: .ordinary).result().output == "answered: SYN-ACK\n")
        }
    }

    @Test(
        "a frame that a pod wrote itself is dropped where it enters the node",
        arguments: HostGuard.Mechanism.expected)
    func frame(mechanism: HostGuard.Mechanism) async throws {
        try await withGuards(mechanism) { lab in
            let pod = try await lab.addPod("a")
            let syn = ["frame", "eth0", LabNode.hardwareAddress, pod.address, LabNode.metadataAddress, "80"]
            #expect(lab.datapath.hostGuard == .active(mechanism))
            #expect(try await pod.attack(syn, as: .ordinary).result().output == "sent, no answer\n")
            #expect(try lab.count("dropped_forward") == 1)
            try lab.detachHostGuard()
            #expect(try await pod.attack(syn, as: .ordinary).result().output == "answered: SYN-ACK\n")
        }
    }

    @Test(
        "fragments and IPv6 are dropped as well, by either guard", arguments: HostGuard.Mechanism.expected)
    func otherPackets(mechanism: HostGuard.Mechanism) async throws {
        try await withGuards(mechanism) { lab in
            let pod = try await lab.addPod("a")
            let attacks = [
                ["raw", "fragments", pod.address, LabNode.metadataAddress, "80"],
                ["raw", "whole", pod.address, LabNode.metadataAddress6, "80"],
                ["raw", "whole", pod.address, "fd00:ec2::254", "80"],
            ]
            for arguments in attacks {
                #expect(try await pod.attack(arguments, as: .ordinary).result().output == "send: EPERM\n")
            }
            #expect(try lab.count("dropped_egress") == 3)
            try lab.detach("egress")
            for arguments in attacks {
                let dropped = try lab.count("dropped_forward")
                #expect(try await pod.attack(arguments, as: .ordinary).result().output.hasPrefix("sent"))
                #expect(try lab.count("dropped_forward") > dropped, "\(arguments)")
            }
        }
    }

    @Test("nothing is dropped before the redirect works", arguments: HostGuard.Mechanism.expected)
    func firstInstallation(mechanism: HostGuard.Mechanism) async throws {
        try await withGuards(mechanism, isInstalled: false) { lab in
            let pod = try await lab.node.addPod(RunningPodSpecification(name: "a"))
            let raw = ["raw", "whole", pod.address, LabNode.metadataAddress, "80"]
            let frame = ["frame", "eth0", LabNode.hardwareAddress, pod.address, LabNode.metadataAddress, "80"]
            for attack in [raw, frame] {
                #expect(try await pod.attack(attack, as: .ordinary).result().output == "answered: SYN-ACK\n")
            }
            try lab.refreshKubepods()
            #expect(try await pod.attack(raw, as: .ordinary).result().output == "send: EPERM\n")
            try lab.node.network.run { try lab.datapath.guardHost() }
            #expect(lab.datapath.hostGuard == .active(mechanism))
            #expect(try await pod.attack(frame, as: .ordinary).result().output == "sent, no answer\n")
        }
    }

    @Test(
        "the next agent replaces both guards, and packets are dropped throughout",
        arguments: HostGuard.Mechanism.expected)
    func adoption(mechanism: HostGuard.Mechanism) async throws {
        try await withGuards(mechanism) { lab in
            let pod = try await lab.addPod("a")
            let (configuration, cgroups) = (lab.configuration, lab.cgroups)
            for _ in 0..<3 {
                let next = try lab.node.network.run { try Datapath.guarded(configuration, cgroups: cgroups) }
                #expect(next.hooks.allSatisfy { $0.origin == .adopted })
                #expect(next.hostGuard == .active(mechanism))
            }
            let syn = ["frame", "eth0", LabNode.hardwareAddress, pod.address, LabNode.metadataAddress, "80"]
            #expect(try await pod.attack(syn, as: .ordinary).result().output == "sent, no answer\n")
            // One program drops it: the replaced ones are gone.
            #expect(try lab.count("dropped_forward") == 1)
        }
    }

    @Test(
        "DNS and NTP stay open, connected or not; UDP to port 80 is refused", arguments: ["connected", "unconnected"],
        HostGuard.Mechanism.expected)
    func datagrams(how: String, mechanism: HostGuard.Mechanism) async throws {
        try await withGuards(mechanism) { lab in
            let pod = try await lab.addPod("a")
            for port in [53, 123, 80] {
                let server = try UDPEcho(host: LabNode.metadataAddress, port: port, in: lab.node.network)
                let output = try await pod.attack(.unprivileged, "udp", how, LabNode.metadataAddress, "\(port)")
                #expect(
                    output
                        == (port != 80
                            ? "answered\n" : how == "connected" ? "connect: \(LabKernel.refusal)\n" : "send: EPERM\n"))
                server.stop()
            }
            #expect(try lab.count("refused_port") == (how == "connected" ? 1 : 0))
            #expect(try lab.count("dropped_egress") == (how == "connected" ? 0 : 1))
            #expect(try lab.count("dropped_forward") == 0)
        }
    }

    struct Endpoint: CustomTestStringConvertible, Sendable {
        var address: String
        var port: Int
        var isOpen: Bool
        var testDescription: String { "\(address) port \(port): \(isOpen ? "open" : "refused")" }
    }

    @Test(
        "protected endpoints are refused at their ports, and nowhere else",
        arguments: [
            Endpoint(address: "fd00:ec2::254", port: 80, isOpen: false),
            Endpoint(address: "fd00:ec2::254", port: 53, isOpen: true),
            Endpoint(address: "168.63.129.16", port: 80, isOpen: false),
            Endpoint(address: "168.63.129.16", port: 32526, isOpen: false),
            Endpoint(address: "168.63.129.16", port: 53, isOpen: true),
            Endpoint(address: "168.63.129.16", port: 40000, isOpen: true),
            Endpoint(address: "::ffff:168.63.129.16", port: 80, isOpen: false),
        ], HostGuard.Mechanism.expected
    )
    func endpoints(_ endpoint: Endpoint, mechanism: HostGuard.Mechanism) async throws {
        try await withGuards(mechanism) { lab in
            let pod = try await lab.addPod("a")
            let host = endpoint.address.replacing("::ffff:", with: "")
            let server = try lab.node.network.listen(host: host, port: endpoint.port)
            defer { close(server) }
            let command = try pod.attack(
                ["connect", "plain", endpoint.address, "\(endpoint.port)"], as: .unprivileged)
            if endpoint.isOpen {
                try #require(lab.hasConnection(on: server, within: 60_000 * CInt(LabKernel.patience)))
                close(accept(server, nil, nil))
                _ = await command.result()
            } else {
                #expect(await command.result().output == "connect: \(LabKernel.refusal)\n")
                #expect(!lab.hasConnection(on: server))
                #expect(try lab.count("refused_port") == 1)
            }
        }
    }

    @Test("the metadata address behind a NAT64 translator is refused")
    func translated() async throws {
        try await withGuards { lab in
            let pod = try await lab.addPod("a")
            let output = try await pod.attack(.unprivileged, "connect", "plain", "64:ff9b::a9fe:a9fe", "80")
            #expect(output == "connect: \(LabKernel.refusal)\n")
            #expect(try lab.count("refused_port") == 1)
        }
    }

    @Test("a connection older than the hooks falls silent")
    func oldConnection() async throws {
        try await withGuards { lab in
            let pod = try await lab.addPod("a")
            // As it would be without an agent: no process is a pod's, and nothing guards the node.
            #expect(throws: BPFError.self) {
                try lab.datapath.setKubepods(KubepodsCgroup(id: CgroupID(rawValue: 0), level: 0))
            }
            try lab.detachHostGuard()
            let old = try pod.attack(["keep-alive", LabNode.metadataAddress, "80"], as: .unprivileged)
            try #require(lab.hasConnection(on: lab.trap, within: 60_000 * CInt(LabKernel.patience)))
            let connection = accept(lab.trap, nil, nil)
            defer { close(connection) }
            var bytes = [UInt8](repeating: 0, count: 4096)
            #expect(unsafe recv(connection, &bytes, bytes.count, 0) > 0)
            let answer = [UInt8]("HTTP/1.1 200 OK\r\n\r\n{}".utf8)
            #expect(unsafe send(connection, answer, answer.count, 0) == answer.count)
            try await old.errorLines.first(within: .seconds(60)) { $0 == "connected" }
            try lab.refreshKubepods()
            old.signal(SIGUSR1)
            #expect(await old.result().output.hasSuffix("connected, no answer\n"))
            #expect(unsafe recv(connection, &bytes, bytes.count, CInt(MSG_DONTWAIT)) < 0)
            #expect(try await lab.counts("dropped_egress"))
        }
    }

    @Test("a pod's policy decides in the kernel, from the next connection on")
    func policies() async throws {
        try await withGuards { lab in
            let pod = try await lab.addPod("a")
            let other = try await lab.addPod("b")
            let id = try lab.podID(pod)
            try lab.datapath.setPolicy(.deny, ofPod: id)
            let connect = ["connect", "plain", LabNode.metadataAddress, "80"]
            #expect(
                try await pod.attack(connect, as: .unprivileged).result().output == "connect: \(LabKernel.refusal)\n")
            #expect(try lab.count("refused_policy") == 1)
            // A neighbour of the same QoS class is not concerned.
            let neighbour = try other.attack(connect, as: .unprivileged)
            close(try lab.accept())
            _ = await neighbour.result()
            try lab.datapath.setPolicy(.attribute, ofPod: id)
            let again = try pod.attack(connect, as: .unprivileged)
            close(try lab.accept())
            _ = await again.result()
        }
    }

    @Test(
        "a pod that may pass reaches the machine's own server past both guards, unless one is a table, and no other pod does",
        arguments: HostGuard.Mechanism.expected)
    func passthrough(mechanism: HostGuard.Mechanism) async throws {
        try await withGuards(mechanism) { lab in
            let pod = try await lab.addPod("a")
            let other = try await lab.addPod("b")
            try lab.datapath.setPolicy(.passthrough, ofPod: try lab.podID(pod))
            let request = try pod.attack(["connect", "plain", LabNode.metadataAddress, "80"], as: .unprivileged)
            guard mechanism == .bpf else {
                // The packets are a pod's, and a table does not know which pod's.
                #expect(await request.result().output == "connect: EINPROGRESS\n")
                #expect(try lab.count("passed_through") == 1)
                #expect(try await lab.counts("dropped_forward"))
                #expect(!lab.hasConnection(on: lab.trap))
                return
            }
            try #require(lab.hasConnection(on: lab.trap, within: 60_000 * CInt(LabKernel.patience)))
            close(accept(lab.trap, nil, nil))
            _ = await request.result()
            #expect(try lab.count("passed_through") == 1)
            let syn = ["raw", "whole", pod.address, LabNode.metadataAddress, "80"]
            #expect(try await pod.attack(syn, as: .ordinary).result().output == "answered: SYN-ACK\n")
            #expect(try lab.count("dropped_forward") == 0)
            let frame = ["frame", "eth0", LabNode.hardwareAddress, other.address, LabNode.metadataAddress, "80"]
            #expect(try await other.attack(frame, as: .ordinary).result().output == "sent, no answer\n")
            #expect(try lab.count("dropped_forward") == 1)
        }
    }

    @Test("a new agent finds the policies of the last, and forgets the pods that went meanwhile")
    func pruning() async throws {
        try await withGuards { lab in
            let pods = [try await lab.addPod("a"), try await lab.addPod("b"), try await lab.addPod("c")]
            let ids = try pods.map { try lab.podID($0) }
            let connect = ["connect", "plain", LabNode.metadataAddress, "80"]
            for pod in pods {
                let client = try pod.attack(connect, as: .unprivileged)
                close(try lab.accept())
                _ = await client.result()
            }
            try lab.datapath.setPolicy(.deny, ofPod: ids[0])
            try lab.datapath.setPolicy(.passthrough, ofPod: ids[1])
            await lab.node.remove(pods[1])
            await lab.node.remove(pods[2])
            let (configuration, cgroups) = (lab.configuration, lab.cgroups)
            let next = try lab.node.network.run { try Datapath.guarded(configuration, cgroups: cgroups) }
            #expect(next.policiesByPod() == [ids[0]: .deny, ids[1]: .passthrough])
            #expect(Set(next.trafficByPod().keys) == Set(ids))
            #expect(next.prune { cgroups.path(of: $0) != nil } == 2)
            #expect(next.policiesByPod() == [ids[0]: .deny])
            #expect(Set(next.trafficByPod().keys) == [ids[0]])
            #expect(
                try await pods[0].attack(connect, as: .unprivileged).result().output
                    == "connect: \(LabKernel.refusal)\n")
        }
    }
}
