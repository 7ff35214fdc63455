import Foundation
import NIOCore
import NIOHTTP1
import Synchronization

/// Google's IAM Service Account Credentials API: `generateAccessToken` and `generateIdToken`.
package final class IAMCredentialsEmulator: Sendable {
    /// Principals that may act as a Google service account (`roles/iam.workloadIdentityUser`).
    package enum Member: Sendable, Hashable {
        /// `principal://.../subject/SUBJECT`, for instance `system:serviceaccount:NAMESPACE:NAME`.
        case subject(String)
        /// `serviceAccount:POOL[NAMESPACE/NAME]`.
        case serviceAccount(namespace: String, name: String)

        func includes(_ subject: LabSubject) -> Bool {
            switch self {
            case .subject(let name): subject.subject == name
            case .serviceAccount(let namespace, let name):
                subject.namespace == namespace && subject.serviceAccount == name
            }
        }
    }

    /// The organisation's default maximum.
    private static let maximumSeconds: Int64 = 3600
    private static let prefix = "/v1/projects/-/serviceAccounts/"

    private struct Account {
        var email: String
        var uniqueID: String
        var members: Set<Member> = []
    }

    private struct Storage {
        var accounts: [String: Account] = [:]
        var isEnabled = true
        var tokenLength = 256
    }

    private let ledger: LabTokenLedger
    package let clock: LabClock
    private let signingKey: RSASigningKey
    private let storage = Mutex(Storage())

    /// `signingKey` signs identity tokens.
    package init(ledger: LabTokenLedger, signingKey: RSASigningKey, clock: LabClock = LabClock()) {
        self.ledger = ledger
        self.signingKey = signingKey
        self.clock = clock
    }

    /// The keys that verify identity tokens.
    package var keySet: JSONWebKeySet { JSONWebKeySet([signingKey]) }

    /// Creates a Google service account that no account may act as. `uniqueID`: its 21 decimal digits.
    package func createAccount(_ email: String, uniqueID: String = "100000000000000000001") {
        storage.withLock { $0.accounts[email] = Account(email: email, uniqueID: uniqueID) }
    }

    /// Binds `roles/iam.workloadIdentityUser` on the account to `member`, creating the account if need be.
    package func allowImpersonation(of email: String, by member: Member) {
        storage.withLock { storage in
            _ = storage.accounts[email, default: Account(email: email, uniqueID: "100000000000000000001")]
                .members.insert(member)
        }
    }

    /// Switches the API off (`SERVICE_DISABLED`) or on.
    package func setEnabled(_ isEnabled: Bool) {
        storage.withLock { $0.isEnabled = isEnabled }
    }

    /// How long access tokens are from now on, in characters.
    package func setTokenLength(_ length: Int) {
        storage.withLock { $0.tokenLength = length }
    }

    /// Answers one request.
    package func handle(_ request: LabRequest) async -> LabResponse {
        do throws(GoogleError) {
            let path = request.path.removingPercentEncoding ?? request.path
            guard request.path == "/oauth2/v3/certs" else {
                return try respond(to: request, path: path)
            }
            guard let set = try? signingKey.webKeySet else { throw .internalError }
            return .json(200, set)
        } catch {
            return .json(error.code, error.json)
        }
    }

    private func respond(to request: LabRequest, path: String) throws(GoogleError) -> LabResponse {
        guard path.hasPrefix(Self.prefix), let colon = path.lastIndex(of: ":"), request.method == "POST" else {
            throw .notFound("Requested entity was not found.")
        }
        let name = String(path[path.index(path.startIndex, offsetBy: Self.prefix.count)..<colon])
        let caller = try federatedCaller(request)
        guard storage.withLock({ $0.isEnabled }) else { throw .serviceDisabled }
        guard let body = try? JSON(parsing: request.body.readableBytesView), body.members != nil else {
            throw .invalidArgument("Invalid JSON payload received.")
        }
        switch path[path.index(after: colon)...] {
        case "generateAccessToken":
            let account = try account(name, for: caller, permission: "iam.serviceAccounts.getAccessToken")
            return .json(200, try accessToken(as: account, caller, body))
        case "generateIdToken":
            let account = try account(name, for: caller, permission: "iam.serviceAccounts.getOpenIdToken")
            return .json(200, try identityToken(as: account, caller, body))
        default:
            throw .notFound("Requested entity was not found.")
        }
    }

    /// The subject of a living federated token with the scope for this API.
    private func federatedCaller(_ request: LabRequest) throws(GoogleError) -> LabTokenRecord {
        guard let token = request.bearerToken, let record = ledger.describe(token), record.kind == .federated,
            clock.now < record.expires
        else { throw .unauthenticated }
        let accepted = ["https://www.googleapis.com/auth/cloud-platform", "https://www.googleapis.com/auth/iam"]
        guard record.scopes.contains(where: accepted.contains) else { throw .insufficientScopes }
        return record
    }

    private func account(
        _ name: String, for caller: LabTokenRecord, permission: String
    ) throws(GoogleError) -> Account {
        guard name.contains("@") || (!name.isEmpty && name.allSatisfy(\.isNumber)) else {
            throw .invalidArgument(
                "Invalid form of account ID \(name). Should be [Gaia ID |Email |Unique ID |] of the account"
            )
        }
        let account = storage.withLock { $0.accounts[name] ?? $0.accounts.values.first { $0.uniqueID == name } }
        guard let account else { throw .notFound("Not found; Gaia id not found for email \(name)") }
        guard account.members.contains(where: { $0.includes(caller.subject) }) else {
            throw .permissionDenied(permission)
        }
        return account
    }

    private func accessToken(
        as account: Account, _ caller: LabTokenRecord, _ body: JSON
    ) throws(GoogleError) -> JSON {
        let scopes = body["scope"]?.strings ?? []
        guard !scopes.isEmpty else { throw .invalidArgument("Scope required.") }
        let seconds = try Self.lifetime(body["lifetime"])
        let token = LabTokenLedger.makeToken(prefix: "ya29.c.", length: storage.withLock { $0.tokenLength })
        let expires = Date(timeIntervalSince1970: TimeInterval(Timestamp.unix(clock.now) + seconds))
        record(token, .access, account, caller, scopes: scopes, expires: expires)
        return ["accessToken": .string(token), "expireTime": .string(Timestamp.rfc3339(expires))]
    }

    private func identityToken(
        as account: Account, _ caller: LabTokenRecord, _ body: JSON
    ) throws(GoogleError) -> JSON {
        guard let audience = body["audience"]?.string, !audience.isEmpty else {
            throw .invalidArgument("Audience required.")
        }
        let issued = Timestamp.unix(clock.now)
        let includesEmail = body["includeEmail"]?.bool ?? false
        let claims: JSON = [
            "aud": .string(audience), "azp": .string(account.uniqueID),
            "email": includesEmail ? .string(account.email) : nil, "email_verified": includesEmail ? true : nil,
            "exp": .integer(issued + 3600), "iat": .integer(issued), "iss": "https://accounts.google.com",
            "sub": .string(account.uniqueID), "jti": .string(UUID().uuidString),
        ]
        guard let token = try? signingKey.sign(claims) else { throw .internalError }
        let expires = Date(timeIntervalSince1970: TimeInterval(issued + 3600))
        record(token, .identity(audience: audience), account, caller, scopes: [], expires: expires)
        return ["token": .string(token)]
    }

    /// `"3600s"`; absent: an hour.
    private static func lifetime(_ value: JSON?) throws(GoogleError) -> Int64 {
        guard let value else { return maximumSeconds }
        guard let text = value.string, text.hasSuffix("s"), let seconds = Int64(text.dropLast()), seconds > 0 else {
            throw .invalidArgument("Invalid value at 'lifetime' (type.googleapis.com/google.protobuf.Duration)")
        }
        guard seconds <= maximumSeconds else {
            throw .invalidArgument(
                "The access token lifetime cannot exceed \(maximumSeconds) seconds without the organization policy "
                    + "constraint constraints/iam.allowServiceAccountCredentialLifetimeExtension."
            )
        }
        return seconds
    }

    private func record(
        _ token: String, _ kind: LabTokenRecord.Kind, _ account: Account, _ caller: LabTokenRecord,
        scopes: [String], expires: Date
    ) {
        ledger.add(
            token,
            LabTokenRecord(
                kind: kind,
                subject: caller.subject,
                account: account.email,
                scopes: scopes,
                issued: clock.now,
                expires: expires,
                subjectTokenID: caller.subjectTokenID
            )
        )
    }
}
