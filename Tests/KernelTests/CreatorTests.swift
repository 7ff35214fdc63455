import Attribution
import BPF
import Foundation
import Lab
import Testing

/// R14: who made the socket and who connects it must be the same pod.
@Suite(.serialized, .timeLimit(.minutes(10)))
struct CreatorTests {
    private static let connect = [LabNode.metadataAddress, "80"]
    private static let needsCreators = ConditionTrait.enabled(
        if: LabKernel.tellsSocketCreators, "the cgroup of a socket's creator came with Linux 5.15")

    /// One process makes a socket and passes it on; another connects it.
    private func take(
        in pod: RunningPod, from start: (String) throws -> Command
    ) async throws -> Command {
        let path = "/tmp/nidlab-\(getpid())-\(UInt32.random(in: 0...UInt32.max)).sock"
        let giver = try start(path)
        try await giver.errorLines.first(within: .seconds(60)) { $0 == "listening" }
        let taker = try pod.attack(["take", path] + Self.connect, as: .unprivileged)
        _ = await giver.result()
        try? FileManager.default.removeItem(atPath: path)
        return taker
    }

    @Test("a socket that another pod made is refused", Self.needsCreators)
    func otherPod() async throws {
        try await withGuards { lab in
            let pod = try await lab.addPod("a")
            let other = try await lab.addPod("b")
            let taker = try await take(in: pod) { try other.attack(["pass", $0, "4", "stream"], as: .unprivileged) }
            #expect(await taker.result().output == "connect: \(LabKernel.refusal)\n")
            #expect(try lab.count("refused_creator") == 1)
        }
    }

    @Test("a socket that a process of the host made is refused", Self.needsCreators)
    func host() async throws {
        try await withGuards { lab in
            let pod = try await lab.addPod("a")
            let taker = try await take(in: pod) {
                try Command([
                    "nsenter", "--net=\(pod.network.path)", "--", Attacker.program(), "pass", $0, "4", "stream",
                ])
            }
            #expect(await taker.result().output == "connect: \(LabKernel.refusal)\n")
            #expect(try lab.count("refused_creator") == 1)
        }
    }

    @Test("a socket that another container of the same pod made is the pod's")
    func samePod() async throws {
        try await withGuards { lab in
            let pod = try await lab.addPod("a")
            let sidecar = pod.cgroup + "/sidecar"
            try FileManager.default.createDirectory(
                atPath: lab.node.cgroupDirectory(sidecar), withIntermediateDirectories: true)
            let taker = try await take(in: pod) {
                try pod.attack(["pass", $0, "4", "stream"], as: .unprivileged, cgroup: sidecar)
            }
            let connection = try lab.accept()
            let tag = try #require(lab.datapath.tag(ofAcceptedSocket: connection))
            close(connection)
            #expect(tag.ancestors[1] == (try lab.podID(pod)).rawValue)
            _ = await taker.result()
        }
    }

    @Test(
        "while the programs do not know a QoS class yet, its pods do not pass for each other", Self.needsCreators,
        arguments: [
            CgroupLayout.QualityOfService.burstable, .besteffort,
        ])
    func unknownClass(quality: CgroupLayout.QualityOfService) async throws {
        try await withGuards { lab in
            let pod = try await lab.addPod("a", quality: quality)
            let other = try await lab.addPod("b", quality: quality)
            let kubepods = try #require(try lab.cgroups.locate([UInt8](lab.node.kubepods.utf8)))
            try lab.datapath.setKubepods(KubepodsCgroup(id: kubepods.id, level: kubepods.level))
            let taker = try await take(in: pod) { try other.attack(["pass", $0, "4", "stream"], as: .unprivileged) }
            #expect(await taker.result().output == "connect: \(LabKernel.refusal)\n")
            #expect(try lab.count("refused_creator") == 1)
            // A container may connect a socket that it made itself all the same.
            let own = try pod.attack(["keep-alive"] + Self.connect, as: .unprivileged)
            close(try lab.accept())
            own.signal(SIGKILL)
            _ = await own.result()
        }
    }

    @Test("a task that was moved to another pod cannot connect the sockets it brought along", Self.needsCreators)
    func movedTask() async throws {
        try await withGuards { lab in
            let pod = try await lab.addPod("a")
            let other = try await lab.addPod("b", quality: .guaranteed)
            let procs = lab.node.cgroupDirectory(other.containerCgroup) + "/cgroup.procs"
            let output = try await pod.attack(["move", procs] + Self.connect, as: .ordinary).result().output
            #expect(output == "connect: \(LabKernel.refusal)\n")
            #expect(try lab.count("refused_creator") == 1)
        }
    }

    @Test("a process of the host that connects a pod's socket gets no packet through")
    func hostTakesPodsSocket() async throws {
        try await withGuards { lab in
            let pod = try await lab.addPod("a")
            let path = "/tmp/nidlab-\(getpid())-\(UInt32.random(in: 0...UInt32.max)).sock"
            defer { try? FileManager.default.removeItem(atPath: path) }
            let giver = try pod.attack(["pass", path, "4", "stream"], as: .unprivileged)
            try await giver.errorLines.first(within: .seconds(60)) { $0 == "listening" }
            let taker = try Command([Attacker.program(), "take", path] + Self.connect)
            _ = await giver.result()
            #expect(await taker.result().output == "connect: EINPROGRESS\n")
            #expect(try await lab.counts("dropped_egress"))
            #expect(!lab.hasConnection(on: lab.trap))
        }
    }
}
