import Foundation
import Testing

@testable import Lab

/// The judgement of the real clients, judged: each thing that must not happen is noticed.
@Suite struct ClientEvidenceTests {
    private static let pod = "11111111-1111-1111-1111-111111111111"
    private static let client = RealClient(
        name: "client", program: .go("client"), finds: [.token, .project],
        requests: { _ in ["root.200": 0...1, "access_token.200": 1...1] }, spellings: [.address, .name]
    )

    private static func evidence(_ change: (inout ClientEvidence) -> Void = { _ in }) -> ClientEvidence {
        var evidence = ClientEvidence(
            podUID: pod, account: nil, exitStatus: 0, output: "version client 1\ntoken mine\nproject lab-project\n",
            errorOutput: "", requests: ["access_token.200": 1], storageCallers: [], exchanges: 1, trapConnections: 0
        )
        change(&evidence)
        return evidence
    }

    private static func record(
        pod: String = pod, kind: LabTokenRecord.Kind = .federated, account: String? = nil
    ) -> LabTokenRecord {
        LabTokenRecord(
            kind: kind,
            subject: LabSubject(
                subject: "system:serviceaccount:n:s", namespace: "n", serviceAccount: "s", podName: "p", podUID: pod
            ),
            account: account, scopes: [], issued: .now, expires: .now, subjectTokenID: "id"
        )
    }

    private static let ledger = [
        "mine": record(), "foreign": record(pod: "22222222-2222-2222-2222-222222222222"),
        "impersonated": record(kind: .access, account: "a@p.iam.gserviceaccount.com"),
    ]

    private static func problems(_ change: (inout ClientEvidence) -> Void = { _ in }) -> [String] {
        evidence(change).problems(of: client, expected: client.requests(.none)) { ledger[$0] }
    }

    @Test("a client that got its own token has no problem")
    func accepted() {
        #expect(Self.problems() == [])
        #expect(Self.problems { $0.requests["root.200"] = 1 } == [])
    }

    struct Fault: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var word: String
        var change: @Sendable (inout ClientEvidence) -> Void

        init(_ name: String, says word: String, change: @escaping @Sendable (inout ClientEvidence) -> Void) {
            testDescription = name
            self.word = word
            self.change = change
        }
    }

    private static let faults = [
        Fault("exit status", says: "status 3") { $0.exitStatus = 3 },
        Fault("another pod's token", says: "22222222") { $0.output.replace("mine", with: "foreign") },
        Fault("a token of nobody", says: "no emulator's") { $0.output.replace("mine", with: TrapServer.token) },
        Fault("an account instead of itself", says: "kind") { $0.output.replace("mine", with: "impersonated") },
        Fault("itself instead of an account", says: "kind") { $0.account = "a@p.iam.gserviceaccount.com" },
        Fault("another project", says: "project is 'lab-projecT'") {
            $0.output.replace("lab-project", with: "lab-projecT")
        },
        Fault("no project", says: "learned no project") { $0.output = "version client 1\ntoken mine\n" },
        Fault("no version", says: "learned no version") { $0.output = "token mine\nproject lab-project\n" },
        Fault("an unexpected finding", says: "learn a universe") { $0.output += "universe googleapis.com\n" },
        Fault("an unknown finding", says: "'name value'") { $0.output += "surprise 1\n" },
        Fault("a request too many", says: "access_token.200: 2") { $0.requests["access_token.200"] = 2 },
        Fault("a request that is not expected", says: "unknown.404: 1") { $0.requests["unknown.404"] = 1 },
        Fault("a request too few", says: "access_token.200: 0") { $0.requests = [:] },
        Fault("an exchange too many", says: "2 exchanges") { $0.exchanges = 2 },
        Fault("no exchange", says: "0 exchanges") { $0.exchanges = 0 },
        Fault("a foreign token in use", says: "Cloud Storage saw a token of the pod 22222222") {
            $0.storageCallers = [record(pod: "22222222-2222-2222-2222-222222222222")]
        },
        Fault("contact with the trap", says: "1 connections reached the machine's") { $0.trapConnections = 1 },
        Fault("contact with a tenant", says: "2 connections reached another tenant's") { $0.tenantConnections = 2 },
        Fault("another spelling", says: "it looked up 'metadata', not 'metadata.google.internal'") {
            $0.spellings = [.short]
        },
    ]

    @Test("a client that cannot find the server must fail without any answer")
    func withoutServer() {
        func problems(_ change: (inout ClientEvidence) -> Void) -> [String] {
            Self.evidence {
                ($0.exitStatus, $0.requests, $0.exchanges) = (1, [:], 0)
                change(&$0)
            }.problemsWithoutServer(of: Self.client)
        }
        #expect(problems { _ in } == [])
        #expect(problems { $0.exitStatus = 0 }.count == 1)
        #expect(problems { $0.requests["root.200"] = 1 }.count == 1)
        #expect(problems { $0.exchanges = 1 }.count == 1)
        #expect(problems { $0.tenantConnections = 1 }.count == 1)
        #expect(problems { $0.trapConnections = 1 }.count == 1)
    }

    @Test("everything that must not happen is a problem", arguments: faults)
    func refused(fault: Fault) {
        let problems = Self.problems(fault.change)
        #expect(problems.contains { $0.contains(fault.word) }, "\(problems)")
    }
}
