import Lab
import Testing

/// One lab for the whole suite.
struct CloudClientLabTrait: SuiteTrait, TestScoping {
    @TaskLocal static var lab: CloudClientLab?

    @concurrent func provideScope(
        for test: Test, testCase: Test.Case?, performing function: @concurrent @Sendable () async throws -> Void
    ) async throws {
        try await CloudClientLab.run(keys: try LabCluster.Keys()) { lab in
            try await Self.$lab.withValue(lab, operation: function)
        }
    }
}

@Suite(.serialized, .timeLimit(.minutes(10)), CloudClientLabTrait())
struct CloudClientTests {
    @Test("a real client of AWS or Azure in a pod reads a bucket as the pod's own identity", arguments: CloudClient.all)
    func ownCredential(client: CloudClient) async throws {
        let lab = try #require(CloudClientLabTrait.lab)
        let report = try await lab.run(client)
        #expect(report.problems == [])
    }
}
