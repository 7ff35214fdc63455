import Foundation
import NIOHTTP1
import Testing

@testable import Lab

@Suite struct CloudStorageEmulatorTests {
    private static let path = "/storage/v1/b/lab-bucket/o/greeting.txt"

    private static func record(
        _ kind: LabTokenRecord.Kind = .federated, scope: String = "https://www.googleapis.com/auth/cloud-platform",
        life: TimeInterval = 60
    ) -> LabTokenRecord {
        LabTokenRecord(
            kind: kind,
            subject: LabSubject(
                subject: "system:serviceaccount:n:s", namespace: "n", serviceAccount: "s", podName: "p", podUID: "u"
            ),
            account: nil, scopes: [scope], issued: .now, expires: .now.addingTimeInterval(life), subjectTokenID: "id"
        )
    }

    private static func ask(
        _ path: String = path, authorization: String?, ledger: [String: LabTokenRecord]
    ) async -> (status: Int, callers: Int) {
        let tokens = LabTokenLedger()
        for (token, record) in ledger { tokens.add(token, record) }
        let emulator = CloudStorageEmulator(ledger: tokens, clock: LabClock())
        let request = LabRequest(
            method: "GET", target: path, headers: HTTPHeaders(authorization.map { [("Authorization", $0)] } ?? [])
        )
        return (await emulator.handle(request).status, emulator.callers.total)
    }

    @Test(
        "the bearer of a living access token may read",
        arguments: [path, path + "?alt=media", "/storage/v1/b/lab-bucket"])
    func accepted(path: String) async {
        let answer = await Self.ask(path, authorization: "Bearer good", ledger: ["good": Self.record()])
        #expect(answer == (200, 1))
    }

    @Test(
        "no other caller may, and is none",
        arguments: [
            (nil, record()), ("Bearer unknown", record()), ("Basic good", record()), ("Bearer good", record(life: -1)),
            ("Bearer good", record(scope: "https://www.googleapis.com/auth/userinfo.email")),
            ("Bearer good", record(.identity(audience: "a"))),
        ] as [(String?, LabTokenRecord)]
    )
    func refused(authorization: String?, record: LabTokenRecord) async {
        let answer = await Self.ask(authorization: authorization, ledger: ["good": record])
        #expect(answer == (401, 0))
    }

    @Test("what is not in the bucket does not exist")
    func unknownObject() async {
        let path = "/storage/v1/b/lab-bucket/o/other.txt"
        #expect(await Self.ask(path, authorization: "Bearer good", ledger: ["good": Self.record()]).status == 404)
    }
}
