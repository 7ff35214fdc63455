import Attribution
import Testing

@testable import MetadataProtocol
@testable import MetadataServer

private let path = "/podidentd/v1/pod-uid"

@Suite(.timeLimit(.minutes(10))) struct PodUIDTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var request: String
        var status: Int
        var words: String

        init(_ name: String, _ request: String, _ status: Int, _ words: String) {
            testDescription = name
            self.request = request
            self.status = status
            self.words = words
        }
    }

    @Test(arguments: [
        Case("the caller's own UID", get(path), 200, TestPod.p1.record.uid.description),
        Case(
            "no parameter asks about another", get("\(path)?uid=x&audience=y"), 200, TestPod.p1.record.uid.description),
        Case("HEAD", get(path, method: "HEAD"), 200, ""),
        Case("without flavor", get(path, flavor: false), 403, "Metadata-Flavor"),
        Case("forwarded", get(path, "X-Forwarded-For: 1.2.3.4"), 403, "X-Forwarded-For"),
        Case("another Host", get(path, host: "elsewhere.example"), 403, "Host"),
        Case("waiting", get("\(path)?wait_for_change=true"), 400, "wait_for_change"),
        Case("POST", get(path, method: "POST"), 405, "GET or HEAD"),
        Case("a final slash", get("\(path)/"), 404, "Not Found"),
    ])
    func `answers the caller's pod and nothing else`(_ test: Case) async throws {
        let connection = try await TestConnection(FakeBackend())
        let response = try await connection.exchange(test.request)
        #expect(response.status == test.status)
        if test.status == 200 {
            #expect(response.body == test.words)
        } else {
            #expect(response.body.contains(test.words))
        }
        await connection.close()
    }
}
