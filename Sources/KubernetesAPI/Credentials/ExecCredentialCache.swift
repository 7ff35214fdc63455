import Tokens
import UpstreamHTTP

/// The credential of a plugin that is in use, and the time at which the plugin runs again. A value: its owner runs it
/// and knows the time.
struct ExecCredentialCache: Sendable {
    typealias Instant = ContinuousClock.Instant

    /// A credential and its number, from 1: two with the same number are the same.
    struct Held: Sendable, Equatable {
        var credential: ExecCredential
        var number: UInt64
    }

    enum Action: Sendable, Equatable {
        case use(Held)
        case run
        case fail(KubernetesAPIError)
    }

    /// A credential is replaced so long before its end, or when a fifth of its life is left if that is shorter.
    static let margin = Duration.seconds(60)
    /// The pauses between runs that failures cause. The shortest one also follows a credential that was refused at once:
    /// a plugin that keeps making bad ones must not be run by every request.
    private let backoff: Backoff
    private var held: Held?
    /// The time from which it is replaced; `nil`: not by time.
    private var replaceAt: Instant?
    /// The time from which it is not used; `nil`: not by time.
    private var endsAt: Instant?
    private var isRefused = false
    private var failure: KubernetesAPIError?
    private var failures = 0
    private var notBefore: Instant?

    init(shortestPause: Duration = .seconds(1)) {
        backoff = Backoff(shortest: shortestPause, longest: .seconds(30))
    }

    func action(at now: Instant) -> Action {
        let mayRun = notBefore.map { $0 <= now } ?? true
        let usable = held.flatMap { held in endsAt.map { now < $0 } ?? true ? held : nil }
        guard let usable else {
            return mayRun ? .run : failure.map { .fail($0) } ?? .run
        }
        let isDue = isRefused || (replaceAt.map { now >= $0 } ?? false)
        return isDue && mayRun ? .run : .use(usable)
    }

    mutating func succeeded(_ credential: ExecCredential, at now: Instant, wallClock: UnixInstant) {
        held = Held(credential: credential, number: (held?.number ?? 0) + 1)
        let life = credential.expires.map { $0 - wallClock }
        endsAt = life.map { now + $0 }
        replaceAt = life.map { now + $0 - min(Self.margin, $0 / 5) }
        (isRefused, failure, failures) = (false, nil, 0)
        notBefore = now + backoff.shortest
    }

    mutating func failed(_ error: KubernetesAPIError, at now: Instant) {
        failures += 1
        failure = error
        notBefore = now + backoff.pause(after: failures)
    }

    /// The API server refused the credential with this number. One that was replaced meanwhile is no news.
    mutating func refused(_ number: UInt64) {
        if held?.number == number { isRefused = true }
    }
}
