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
    @Test(
        "a real client of AWS or Azure in a pod reads a bucket as the pod's own identity",
        arguments: CloudClient.installed)
    func ownCredential(client: CloudClient) async throws {
        let lab = try #require(CloudClientLabTrait.lab)
        let report = try await lab.run(client)
        #expect(report.problems == [])
    }

    @Test(
        "cloud case 48 in a pod of Google's AWS's and Azure's clients end after a few refusals, and nothing is minted",
        arguments: ["boto3", "azure-identity"])
    func googlesPod(name: String) async throws {
        let lab = try #require(CloudClientLabTrait.lab)
        let client = try #require(CloudClient.all.first { $0.name == name })
        let (result, requests, mints) = try await lab.runInGooglesPod(client)
        // `timeout` ends with 124.
        #expect(!result.succeeded && result.status != 124 && mints == 0)
        #expect(requests.values.reduce(0, +) <= 4, "\(requests)")
        #expect(requests.keys.allSatisfy { $0.hasSuffix(".403") || $0.hasSuffix(".401") || $0.hasSuffix(".400") })
    }
}
