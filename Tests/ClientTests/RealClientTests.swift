import Lab
import Testing

/// One lab for the whole suite: made before its first test, taken down after its last.
struct ClientLabTrait: SuiteTrait, TestScoping {
    @TaskLocal static var lab: ClientLab?

    @concurrent func provideScope(
        for test: Test, testCase: Test.Case?, performing function: @concurrent @Sendable () async throws -> Void
    ) async throws {
        try await ClientLab.run(keys: try LabCluster.Keys()) { lab in
            try await Self.$lab.withValue(lab, operation: function)
        }
    }
}

@Suite(.serialized, .timeLimit(.minutes(10)), ClientLabTrait())
struct RealClientTests {
    @Test("a real client in a pod gets the pod's own credential", arguments: ClientCase.all)
    func ownCredential(clientCase: ClientCase) async throws {
        let lab = try #require(ClientLabTrait.lab)
        let report = try await lab.run(clientCase)
        #expect(report.problems == [], "\(report.evidence.errorOutput)")
    }
}
