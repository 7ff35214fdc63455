import Attribution
import BPF
import Foundation
import Lab
import Testing

/// The real hooks, in real cgroups and network namespaces.
@Suite(.serialized, .timeLimit(.minutes(10)))
struct DatapathTests {
    private static let metadata = OriginalDestination(address: .ipv4(0xa9fe_a9fe), port: 80)
    private static let metadata6 = OriginalDestination(address: .ipv6(0xfd20_00ce_0000_0000, 0x254), port: 80)

    struct Caller: CustomTestStringConvertible, Sendable {
        var address: String
        var destination: OriginalDestination
        var quality = CgroupLayout.QualityOfService.besteffort
        var layout = CgroupLayout.cgroupfs
        var isHostNetwork = false
        var testDescription: String {
            "\(address), \(layout) \(quality)\(isHostNetwork ? ", hostNetwork" : "")"
        }
    }

    @Test(
        "a pod's connection to a metadata address arrives at the agent, tagged, and the caller is none the wiser",
        arguments: [
            Caller(address: "169.254.169.254", destination: metadata),
            Caller(address: "169.254.169.254", destination: metadata, quality: .guaranteed),
            Caller(address: "169.254.169.254", destination: metadata, quality: .burstable, layout: .systemd),
            Caller(address: "169.254.169.254", destination: metadata, isHostNetwork: true),
            Caller(address: "::ffff:169.254.169.254", destination: metadata),
            Caller(address: "fd20:ce::254", destination: metadata6),
            Caller(address: "169.254.169.254", destination: metadata, layout: .nested),
            Caller(address: "169.254.169.254", destination: metadata, layout: .nestedSystemd, isHostNetwork: true),
            Caller(address: "169.254.169.254", destination: metadata, quality: .guaranteed, layout: .nestedThrice),
            Caller(
                address: "fd20:ce::254", destination: metadata6, quality: .burstable, layout: .nestedThriceSystemd),
        ]
    )
    func redirects(_ caller: Caller) async throws {
        try await withDatapath(layout: caller.layout) { lab in
            let pod = try await lab.addPod(
                RunningPodSpecification(name: "a", quality: caller.quality, isHostNetwork: caller.isHostNetwork)
            )
            let client = try lab.probe(pod, ["--address", caller.address, "/"])
            let connection = try lab.accept()
            let tag = try #require(lab.datapath.tag(ofAcceptedSocket: connection))
            try lab.answer(connection)
            let result = await client.result()

            let podID = try #require(lab.cgroups.id(of: [UInt8](pod.cgroup.utf8)))
            let ancestors = tag.ancestors.indices.map { tag.ancestors[$0] }
            #expect(ancestors[caller.quality == .guaranteed ? 0 : 1] == podID.rawValue)
            #expect(tag.leaf == lab.cgroups.id(of: [UInt8](pod.containerCgroup.utf8)))
            #expect(ancestors.last == 0)
            #expect(tag.originalDestination == caller.destination)
            #expect(tag.socketCookie != 0 && tag.networkNamespaceCookie != 0)
            let brackets = caller.address.contains(":")
            #expect(
                result.output.contains("peer \(brackets ? "[\(caller.address)]" : caller.address):80\n"), "\(result)")
        }
    }

    @Test("a process of the host is left alone, wherever it connects")
    func hostIsUntouched() async throws {
        try await withDatapath { lab in
            let trap = try lab.node.network.listen(host: LabNode.metadataAddress, port: 80)
            defer { close(trap) }
            let client = try Command([
                "nsenter", "--net=\(lab.node.network.path)", "curl", "-s", "--max-time", "5", "http://169.254.169.254/",
            ])
            close(try lab.accept(on: trap))
            _ = await client.result()
            #expect(try lab.datapath.counters()["redirected"] == 0)
        }
    }

    @Test("a connection straight to the listener has no tag, of a socket that was redirected before neither")
    func directConnection() async throws {
        try await withDatapath { lab in
            let pod = try await lab.addPod(RunningPodSpecification(name: "a"))
            let port = "\(PodListeners.ports.upperBound)"
            for (address, count) in [("127.0.0.1", 1), ("::1", 2), ("::ffff:127.0.0.1", 3)] {
                let client = try lab.probe(pod, ["--address", address, "--port", port, "/"])
                let connection = try lab.accept()
                #expect(lab.datapath.tag(ofAcceptedSocket: connection) == nil)
                close(connection)
                _ = await client.result()
                #expect(try lab.datapath.counters()["untagged"] == UInt64(count))
            }
        }
    }

    @Test(
        "ports of the metadata address that the agent does not serve are refused, DNS is not",
        arguments: [443, 8080, 1])
    func otherPorts(port: Int) async throws {
        try await withDatapath { lab in
            let trap = try lab.node.network.listen(host: LabNode.metadataAddress, port: port)
            let dns = try lab.node.network.listen(host: LabNode.metadataAddress, port: 53)
            defer {
                close(trap)
                close(dns)
            }
            let pod = try await lab.addPod(RunningPodSpecification(name: "a"))
            let result = try await lab.probe(pod, ["--port", "\(port)", "/"]).result()
            #expect(result.status == 7, "\(result)")
            #expect(try lab.datapath.counters()["refused_port"] == 1)
            let client = try lab.probe(pod, ["--port", "53", "/"])
            close(try lab.accept(on: dns))
            _ = await client.result()
        }
    }

    @Test("without a listener a pod is refused, and reaches nothing else")
    func failsClosed() async throws {
        try await withDatapath { lab in
            let trap = try lab.node.network.listen(host: LabNode.metadataAddress, port: 80)
            defer { close(trap) }
            let pod = try await lab.addPod(RunningPodSpecification(name: "a"))
            lab.listeners.closeAll()
            for address in ["169.254.169.254", "::ffff:169.254.169.254", "fd20:ce::254"] {
                #expect(try await lab.probe(pod, ["--address", address, "/"]).result().status == 7)
            }
            #expect(!lab.hasConnection(on: trap))
        }
    }

    @Test("the next agent adopts every link and the listener's mark, and no connection meets a gap")
    func adoption() async throws {
        try await withDatapath { lab in
            #expect(lab.datapath.hooks.allSatisfy { $0.origin == .attached })
            let pod = try await lab.addPod(RunningPodSpecification(name: "a"))
            let client = try lab.probe(pod, ["--exchanges", "400", "--threads", "2", "--expect", "ok", "/"])
            for round in 0..<400 {
                if round % 100 == 50 {
                    let (configuration, cgroups) = (lab.configuration, lab.cgroups)
                    let next = try lab.node.network.run { try Datapath.guarded(configuration, cgroups: cgroups) }
                    #expect(next.hooks.allSatisfy { $0.origin == .adopted })
                }
                let connection = try lab.accept()
                #expect(lab.datapath.tag(ofAcceptedSocket: connection) != nil)
                try lab.answer(connection)
            }
            let report = try JSONDecoder().decode(ProbeLoad.Report.self, from: Data(await client.result().output.utf8))
            #expect(report.correct == 400, "\(report)")
        }
    }
}
