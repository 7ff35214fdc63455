import BPF
import CBPFTestPrograms
import CLibbpf
import Foundation
import Lab
import Testing

/// The pins that an agent of 0.1.0 leaves to its successor, beside those that go on.
@Suite(.serialized, .timeLimit(.minutes(10)))
struct EarlierPinsTests {
    /// Hooks that are attached no more.
    private static let names = ["release", "sockops", "sendmsg4", "sendmsg6"]

    @Test("an upgrade from 0.1.0 ends the hooks that are attached no more, and adopts the others")
    func upgrade() async throws {
        try await withDatapath { lab in
            let skeleton = unsafe try #require(unsafe nid_foreign_skeleton__open())
            defer { unsafe nid_foreign_skeleton__destroy(skeleton) }
            unsafe try #require(nid_foreign_skeleton__load(skeleton) == 0)
            let cgroup = unsafe open(lab.node.ownCgroups, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
            defer { close(cgroup) }
            let pins = Self.names.map { lab.configuration.pinDirectory.path + "/links/" + $0 }
            // Any program stands for theirs.
            for pin in pins {
                let program = unsafe skeleton.pointee.progs.foreign_connect4
                let link = unsafe try #require(unsafe bpf_program__attach_cgroup(program, cgroup))
                let status = unsafe bpf_link__pin(link, pin)
                unsafe bpf_link__destroy(link)
                try #require(status == 0)
            }
            #expect(Self.programs(at: cgroup) == 4)

            let (configuration, cgroups) = (lab.configuration, lab.cgroups)
            let next = try lab.node.network.run { try Datapath.guarded(configuration, cgroups: cgroups) }
            #expect(next.hooks.allSatisfy { $0.origin == .adopted })
            for pin in pins { #expect(!FileManager.default.fileExists(atPath: pin), "\(pin)") }
            // The kernel ends a link some grace period after its last pin.
            let deadline = ContinuousClock.now + .seconds(60) * LabKernel.patience
            while Self.programs(at: cgroup) != 0, ContinuousClock.now < deadline { await Task.yield() }
            #expect(Self.programs(at: cgroup) == 0)
        }
    }

    /// The programs that are attached to the cgroup itself, to connections by IPv4; `nil`: the kernel did not say.
    private static func programs(at cgroup: CInt) -> UInt32? {
        var (flags, count) = (UInt32(0), UInt32(0))
        return unsafe bpf_prog_query(cgroup, BPF_CGROUP_INET4_CONNECT, 0, &flags, nil, &count) == 0 ? count : nil
    }
}
