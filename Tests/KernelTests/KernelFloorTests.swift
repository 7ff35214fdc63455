import BPF
import Lab
import Testing

/// The features of this kernel, by its version: where a probe is wrong, the agent goes without what it could have had.
@Suite(.serialized, .timeLimit(.minutes(10)))
struct KernelFloorTests {
    @Test("every probe finds what its version of Linux has, and nothing more")
    func probes() throws {
        let features = KernelFeatures.probe()
        let version = try #require(features.version)
        #expect(version == LabKernel.version)
        #expect(features.btf == .present)
        for type in features.programTypes { #expect(type.presence == .present, "\(type.name)") }
        #expect((features.setReturnValue == .present) == LabKernel.isAtLeast(5, 18))
        #expect((features.socketCgroup == .present) == LabKernel.isAtLeast(5, 15))
        #expect((features.netfilterLinks == .present) == LabKernel.isAtLeast(6, 4))
        #expect(features.typedTracepoints == .present)
        #expect(features.nftables == .present)
        #expect((features.namespaceHandles == .present) == LabKernel.isAtLeast(6, 18))
    }

    @Test("an agent that has the choice guards the host by the best that there is")
    func hostGuard() async throws {
        try await withDatapath { lab in
            #expect(lab.datapath.hostGuard == .active(.preferred))
        }
    }
}
