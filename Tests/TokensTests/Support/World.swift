import Attribution
import Synchronization
import Testing

@testable import Tokens

/// A token service with everything around it under control.
struct World: Sendable {
    let clock = ManualClock()
    let upstream = FakeUpstream()
    let reports = Answers<TokenFetchReport>()
    let accountReports = Answers<ServiceAccountFailureReport>()
    let service: TokenService

    init(_ configuration: TokenServiceConfiguration) {
        service = TokenService(
            configuration: configuration, issuer: upstream, accounts: upstream, exchanger: upstream, clock: clock,
            jitter: { 0 }, observer: reports.append, accountObserver: accountReports.append)
    }

    /// Runs `body` beside the service, whose `run()` is cancelled afterwards.
    static func run(
        _ configure: (inout TokenServiceConfiguration) -> Void = { _ in },
        body: (World) async throws -> Void
    ) async throws {
        var configuration = TokenServiceConfiguration()
        configure(&configuration)
        let world = World(configuration)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await world.service.run() }
            do {
                try await body(world)
            } catch {
                world.letEverythingGo()
                group.cancelAll()
                throw error
            }
            world.letEverythingGo()
            group.cancelAll()
        }
    }

    private func letEverythingGo() {
        for step in FakeUpstream.Step.allCases { upstream.letGo(step) }
    }

    /// Asks without waiting: when this returns the request is answered or waits.
    func ask(
        _ pod: PodRecord, _ account: ServiceAccountRecord, scopes: ScopeSet = .default
    ) -> Answers<Result<ServedToken, TokenFailure>> {
        let answers = Answers<Result<ServedToken, TokenFailure>>()
        service.requestAccessToken(for: pod, account: account, scopes: scopes, completion: answers.append)
        return answers
    }

    func askIdentity(
        _ pod: PodRecord, _ account: ServiceAccountRecord, audience: String
    ) -> Answers<Result<ServedToken, TokenFailure>> {
        let answers = Answers<Result<ServedToken, TokenFailure>>()
        service.requestIdentityToken(for: pod, account: account, audience: audience, completion: answers.append)
        return answers
    }

    func podToken(
        _ pod: PodRecord, _ account: ServiceAccountRecord, audience: String
    ) async throws(TokenFailure) -> ServedToken {
        try await service.podToken(for: pod, account: account, audience: audience)
    }

    func askAccount(_ pod: PodRecord) -> Answers<Result<ServiceAccountRecord, TokenFailure>> {
        let answers = Answers<Result<ServiceAccountRecord, TokenFailure>>()
        service.requestServiceAccount(of: pod, completion: answers.append)
        return answers
    }

    func token(
        _ pod: PodRecord, _ account: ServiceAccountRecord, scopes: ScopeSet = .default
    ) async throws(TokenFailure) -> ServedToken {
        try await service.accessToken(for: pod, account: account, scopes: scopes)
    }

    /// Returns once no fetch is under way.
    func settled() async {
        await eventually { service.read { $0.runningCount == 0 && $0.outbox.isEmpty } }
    }
}

/// Collects what completions deliver.
final class Answers<Value: Sendable>: Sendable {
    private let values = Mutex<[Value]>([])

    @Sendable func append(_ value: Value) { values.withLock { $0.append(value) } }

    var all: [Value] { values.withLock { $0 } }
    var isEmpty: Bool { all.isEmpty }

    var first: Value {
        get async {
            await eventually { !isEmpty }
            return all[0]
        }
    }
}

extension Answers where Value == Result<ServedToken, TokenFailure> {
    var token: String? {
        get async { try? await first.get().token.exposed }
    }

    var failure: TokenFailure? {
        get async {
            if case .failure(let failure) = await first { return failure }
            return nil
        }
    }
}

extension PodRecord {
    static func sample(_ name: String = "app", serviceAccount: String = "app") -> PodRecord {
        let digits = name.utf8.map { byte in (byte < 16 ? "0" : "") + String(byte, radix: 16) }.joined()
        guard let uid = PodUID(digits + String(repeating: "0", count: max(0, 32 - digits.count))) else {
            preconditionFailure("\(name) makes no UID: at most 16 bytes")
        }
        return PodRecord(uid: uid, namespace: "team-a", name: name, serviceAccountName: serviceAccount)
    }
}

extension ServiceAccountRecord {
    static func sample(
        _ name: String = "app", uid: String = "sa-uid-1", impersonating account: String? = nil,
        quotaProject: String? = nil
    ) -> ServiceAccountRecord {
        ServiceAccountRecord(
            namespace: "team-a", name: name, uid: uid, googleServiceAccount: account, quotaProject: quotaProject)
    }

    static let impersonating = sample(impersonating: "gsa@p.iam.gserviceaccount.com")
    static let direct = sample()
}
