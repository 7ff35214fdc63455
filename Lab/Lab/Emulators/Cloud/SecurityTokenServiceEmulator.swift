package import Foundation
import NIOCore
import NIOHTTP1
import Synchronization

/// Google's Security Token Service: `POST /v1/token` (RFC 8693), with real verification of the subject token.
package final class SecurityTokenServiceEmulator: Sendable {
    /// One successful exchange.
    package struct Exchange: Sendable, Equatable {
        package var time: Date
        package var subject: LabSubject
        package var scopes: [String]
        package var expiresInSeconds: Int64
    }

    /// The longest that a federated token lives.
    private static let maximumSeconds: Int64 = 3600
    private static let jwtTypes = ["urn:ietf:params:oauth:token-type:jwt", "urn:ietf:params:oauth:token-type:id_token"]
    private static let accessTokenType = "urn:ietf:params:oauth:token-type:access_token"

    private struct Storage {
        var providers: [String: WorkloadIdentityProvider] = [:]
        var tokenLength = 256
        var longestLife = SecurityTokenServiceEmulator.maximumSeconds
    }

    /// Successful exchanges, with the pod's UID.
    package let log = EventLog<Exchange>()
    private let ledger: LabTokenLedger
    package let clock: LabClock
    private let storage = Mutex(Storage())

    package init(ledger: LabTokenLedger, clock: LabClock = LabClock()) {
        self.ledger = ledger
        self.clock = clock
    }

    /// Adds a provider, or replaces the one of the same name.
    package func setProvider(_ provider: WorkloadIdentityProvider) {
        storage.withLock { $0.providers[provider.name] = provider }
    }

    /// Changes a provider: disables it, changes its condition. Does nothing if there is none of that name.
    package func updateProvider(_ name: String, _ change: @Sendable (inout WorkloadIdentityProvider) -> Void) {
        storage.withLock { storage in
            guard var provider = storage.providers[name] else { return }
            change(&provider)
            storage.providers[name] = provider
        }
    }

    /// How long tokens are from now on, in characters. Real ones have up to 12288.
    package func setTokenLength(_ length: Int) {
        storage.withLock { $0.tokenLength = length }
    }

    /// Tokens live no longer than this from now on, in seconds. Real ones live an hour at most, and as a rule.
    package func setLongestLife(_ seconds: Int64) {
        storage.withLock { $0.longestLife = min(Self.maximumSeconds, seconds) }
    }

    /// Answers one request.
    package func handle(_ request: LabRequest) async -> LabResponse {
        guard request.path == "/v1/token" else { return .text(404, "Not Found\n") }
        guard request.method == "POST" else { return .text(405, "Method Not Allowed\n", headers: [("Allow", "POST")]) }
        do throws(TokenExchangeError) {
            return .json(200, try exchange(request), headers: [("Cache-Control", "no-store")])
        } catch {
            return .json(error.status, error.json)
        }
    }

    private func exchange(_ request: LabRequest) throws(TokenExchangeError) -> JSON {
        guard !request.headers.contains(name: "Authorization") else {
            throw .invalidRequest("The Authorization header is not allowed for this request.")
        }
        let fields = try Self.fields(of: request)
        let provider = try provider(named: try Self.check(fields))
        let scopes = (fields["scope"] ?? "").split(separator: " ").map(String.init)
        guard !scopes.isEmpty else { throw .invalidRequest("Missing required field: scope.") }
        let now = clock.now
        let verified = try SubjectTokenVerifier(provider: provider, now: now).verify(fields["subject_token"] ?? "")
        let (length, longestLife) = storage.withLock { ($0.tokenLength, $0.longestLife) }
        let seconds = min(longestLife, Int64(verified.expires.timeIntervalSince(now).rounded(.down)))
        let token = LabTokenLedger.makeToken(prefix: "ya29.fed-", length: length)
        ledger.add(
            token,
            LabTokenRecord(
                kind: .federated,
                subject: verified.subject,
                account: nil,
                scopes: scopes,
                issued: now,
                expires: now.addingTimeInterval(TimeInterval(seconds)),
                subjectTokenID: verified.tokenID
            )
        )
        log.record(Exchange(time: now, subject: verified.subject, scopes: scopes, expiresInSeconds: seconds))
        return [
            "access_token": .string(token), "issued_token_type": .string(Self.accessTokenType),
            "token_type": "Bearer", "expires_in": .integer(seconds),
        ]
    }

    /// Checks everything that does not need the provider, and returns the audience.
    private static func check(_ fields: [String: String]) throws(TokenExchangeError) -> String {
        for name in ["grant_type", "audience", "requested_token_type", "subject_token", "subject_token_type"]
        where fields[name]?.isEmpty ?? true {
            throw .invalidRequest("Missing required field: \(name).")
        }
        guard fields["grant_type"] == "urn:ietf:params:oauth:grant-type:token-exchange" else {
            throw TokenExchangeError(code: "unsupported_grant_type", description: "Invalid value for \"grant_type\".")
        }
        guard fields["requested_token_type"] == accessTokenType else {
            throw .invalidRequest("Invalid value for \"requested_token_type\".")
        }
        guard jwtTypes.contains(fields["subject_token_type"] ?? "") else {
            throw .invalidRequest("Invalid value for \"subject_token_type\".")
        }
        let audience = fields["audience"] ?? ""
        guard WorkloadIdentityProvider.isWellFormed(audience) else {
            throw .invalidRequest(
                "Invalid value for \"audience\". This value should be the full resource name of the Identity Provider. "
                    + "See https://cloud.google.com/iam/docs/reference/sts/rest/v1/TopLevel/token for the list of "
                    + "possible formats."
            )
        }
        return audience
    }

    private func provider(named audience: String) throws(TokenExchangeError) -> WorkloadIdentityProvider {
        guard let provider = storage.withLock({ $0.providers[audience] }), provider.isEnabled else {
            throw TokenExchangeError(
                code: "invalid_target",
                description:
                    "The target service indicated by the \"audience\" parameters is invalid. This might either "
                    + "be because the pool or provider is disabled or deleted or because it doesn't exist."
            )
        }
        return provider
    }

    /// Form fields by their snake_case names; JSON bodies have camelCase names.
    private static func fields(of request: LabRequest) throws(TokenExchangeError) -> [String: String] {
        let type = request.headers.first(name: "Content-Type")?.prefix { $0 != ";" } ?? ""
        switch type.trimmingCharacters(in: .whitespaces).lowercased() {
        case "application/x-www-form-urlencoded":
            return Dictionary(FormEncoding.decode(request.bodyText).map { ($0.name, $0.value) }) { first, _ in first }
        case "application/json":
            guard let members = (try? JSON(parsing: request.body.readableBytesView))?.members else {
                throw .invalidRequest("Invalid JSON payload received.")
            }
            return Dictionary(members.map { (snakeCase($0.name), $0.value.string ?? "") }) { first, _ in first }
        default:
            throw .invalidRequest("Unsupported content type.")
        }
    }

    private static func snakeCase(_ name: String) -> String {
        name.reduce(into: "") { $0 += $1.isUppercase ? "_" + $1.lowercased() : String($1) }
    }
}
