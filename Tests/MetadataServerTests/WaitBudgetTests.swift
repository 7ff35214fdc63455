import Attribution
import Testing

@testable import AWSInstanceMetadata
@testable import AzureInstanceMetadata
@testable import MetadataProtocol
@testable import MetadataServer

/// All that one request waits for shares one deadline.
@Suite(.timeLimit(.minutes(10))) struct WaitBudgetTests {
    private static let token = get("/computeMetadata/v1/instance/service-accounts/default/token")

    private static func connection(_ backend: FakeBackend) async throws -> TestConnection {
        var configuration = TestConfiguration.test
        configuration.limits.waitBudget = .milliseconds(20)
        return try await TestConnection(backend, configuration: configuration)
    }

    private static let stages: [(FakeBackend.Stage, String)] = [
        (.account, "the ServiceAccount"), (.token, "Google STS"),
    ]

    @Test(arguments: stages)
    func `a wait is cut short at the deadline, and the answer says what for`(
        _ stage: FakeBackend.Stage, _ words: String
    ) async throws {
        let backend = FakeBackend()
        backend.update { state in
            state.neverArrives = [stage]
            state.isAccountCached = stage != .account
        }
        let connection = try await Self.connection(backend)
        let answer = try await connection.exchange(Self.token)
        #expect(answer.status == 503 && answer.body.contains(words), "\(answer)")
        #expect(backend.read(\.cutShort) == [stage])
        await connection.close()
    }

    @Test func `a record that never comes is answered as a pod that is not known yet`() async throws {
        let backend = FakeBackend()
        let uid = TestPod.p1.caller.pod.uid
        backend.update { state in
            state.identification = .pending(uid)
            state.neverArrives = [.record]
        }
        let connection = try await Self.connection(backend)
        let answer = try await connection.exchange(Self.token)
        #expect(answer.status == 503 && answer.body.contains(uid.description), "\(answer)")
        await connection.close()
    }

    @Test func `what the hold for the record has used up is not there for the token`() async throws {
        let backend = FakeBackend()
        backend.update { state in
            state.identification = .pending(TestPod.p1.caller.pod.uid)
            // The record arrives at the very end of the time.
            state.afterHolding = .caller(TestPod.p1.caller)
            state.neverArrives = [.record, .token]
        }
        let connection = try await Self.connection(backend)
        let answer = try await connection.exchange(Self.token)
        #expect(answer.status == 503 && answer.body.contains("Google STS"), "\(answer)")
        #expect(backend.read(\.cutShort) == [.record, .token])
        await connection.close()
    }

    @Test func `each protocol's time is within what its clients wait`() {
        #expect(TestConfiguration.test.limits.waitBudget < .seconds(3))
        #expect(AWSMetadataRoom.waitBudget < .seconds(1) && AWSContainerCredentials.waitBudget < .seconds(2))
        #expect(AzureMetadataRoom.waitBudget < .seconds(8))
    }

    @Test func `an answer within the time is untouched by it`() async throws {
        let connection = try await TestConnection(FakeBackend())
        #expect(try await connection.exchange(Self.token).status == 200)
        await connection.close()
    }
}
