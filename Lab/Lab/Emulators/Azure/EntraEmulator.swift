import Foundation
import NIOHTTP1
import Synchronization

/// An access token that the lab's Entra ID issued.
package struct EntraTokenRecord: Sendable, Hashable {
    package var clientID: String
    package var tenant: String
    package var resource: String
    package var subject: LabSubject
}

/// Microsoft Entra ID: the token endpoint for federated credentials, with real verification, and its discovery pages.
package final class EntraEmulator: Sendable {
    /// `issuer`, `subject` and `audience` of a federated identity credential, and whose it is.
    package struct FederatedCredential: Sendable, Hashable {
        package var clientID: String
        package var tenant: String
        package var subject: String

        package init(clientID: String, tenant: String, subject: String) {
            self.clientID = clientID
            self.tenant = tenant
            self.subject = subject
        }
    }

    package static let audience = "api://AzureADTokenExchange"

    private struct Storage {
        var credentials: Set<FederatedCredential> = []
        var failures: [(status: Int, code: Int)] = []
        var records: [String: EntraTokenRecord] = [:]
    }

    /// Tokens that were issued.
    package let log = EventLog<EntraTokenRecord>()
    package let clock: LabClock
    private let issuer: IssuerDiscovery
    private let signingKey: RSASigningKey
    private let storage = Mutex(Storage())

    /// Tokens of `issuer` are taken; `signingKey` signs access tokens.
    package init(issuer: IssuerDiscovery, signingKey: RSASigningKey, clock: LabClock = LabClock()) {
        self.issuer = issuer
        self.signingKey = signingKey
        self.clock = clock
    }

    package func add(_ credential: FederatedCredential) {
        storage.withLock { _ = $0.credentials.insert(credential) }
    }

    /// Lets the next calls fail with these AADSTS codes.
    package func fail(with failures: [(status: Int, code: Int)]) {
        storage.withLock { $0.failures += failures }
    }

    /// The holder of this token, if it is a living one of this server.
    package func describe(_ token: String) -> EntraTokenRecord? {
        guard let parsed = JSONWebToken(token), parsed.isSigned(by: signingKey.publicKey),
            let expires = parsed.date("exp"), clock.now < expires
        else { return nil }
        return storage.withLock { $0.records[token] }
    }

    package func handle(_ request: LabRequest) async -> LabResponse {
        let parts = request.path.split(separator: "/").map(String.init)
        if request.method == "GET", parts.suffix(2) == ["discovery", "instance"] {
            return .json(200, ["tenant_discovery_endpoint": .string("https://login.lab/\(parts[0])/v2.0")])
        }
        if request.method == "GET", parts.last == "openid-configuration" {
            return .json(200, ["issuer": .string("https://login.lab/\(parts[0])/v2.0")])
        }
        guard request.method == "POST", parts.count == 4, Array(parts[1...]) == ["oauth2", "v2.0", "token"] else {
            return .json(404, ["error": "not_found"])
        }
        do throws(EntraError) {
            if let failure = storage.withLock({ $0.failures.isEmpty ? nil : $0.failures.removeFirst() }) {
                throw EntraError(failure.code, "The lab was told to fail.", status: failure.status)
            }
            let fields = FormEncoding.decode(request.bodyText).map { ($0.name, $0.value) }
            return try await token(Dictionary(fields) { first, _ in first }, tenant: parts[0])
        } catch {
            return .json(error.status, error.json)
        }
    }

    private func token(_ fields: [String: String], tenant: String) async throws(EntraError) -> LabResponse {
        guard fields["grant_type"] == "client_credentials",
            fields["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        else { throw EntraError(70_003, "The app requested an unsupported grant type.") }
        guard let scope = fields["scope"], scope.hasSuffix("/.default") else {
            throw EntraError(1_002_012, "The provided value for scope is not valid.", error: "invalid_scope")
        }
        let subject = try await verify(fields["client_assertion"] ?? "")
        let credential = FederatedCredential(
            clientID: fields["client_id"] ?? "", tenant: tenant, subject: subject.subject)
        let known = storage.withLock { $0.credentials }
        guard known.contains(where: { $0.clientID == credential.clientID && $0.tenant == tenant }) else {
            throw EntraError(700_016, "Application was not found in the directory.", error: "unauthorized_client")
        }
        guard known.contains(credential) else {
            throw EntraError(700_213, "No matching federated identity record found for presented assertion subject.")
        }
        let resource = String(scope.dropLast("/.default".count))
        let now = Timestamp.unix(clock.now)
        let claims: JSON = [
            "aud": .string(resource), "iss": .string("https://sts.windows.net/\(tenant)/"), "iat": .integer(now),
            "nbf": .integer(now), "exp": .integer(now + 3599), "appid": .string(credential.clientID),
            "oid": .string(credential.clientID), "tid": .string(tenant), "jti": .string(UUID().uuidString),
        ]
        guard let text = try? signingKey.sign(claims) else { throw EntraError(90_033, "No signature.", status: 500) }
        let record = EntraTokenRecord(
            clientID: credential.clientID, tenant: tenant, resource: resource, subject: subject)
        storage.withLock { $0.records[text] = record }
        log.record(record)
        return .json(
            200,
            [
                "token_type": "Bearer", "expires_in": .integer(3599), "ext_expires_in": .integer(3599),
                "access_token": .string(text),
            ])
    }

    private func verify(_ text: String) async throws(EntraError) -> LabSubject {
        guard let token = JSONWebToken(text), token.header["alg"]?.string == "RS256",
            let keyID = token.header["kid"]?.string
        else { throw EntraError(50_027, "JWT token is invalid or malformed.") }
        guard token.claims["iss"]?.string == issuer.issuer else {
            throw EntraError(700_211, "No matching federated identity record found for presented assertion issuer.")
        }
        do throws(IssuerDiscovery.Failure) {
            guard let key = try await issuer.key(keyID), token.isSigned(by: key) else {
                throw IssuerDiscovery.Failure(description: "the signature does not match")
            }
        } catch {
            throw EntraError(5_000_320, "The keys of the assertion's issuer do not verify it: \(error).")
        }
        guard token.audiences == [Self.audience] else {
            throw EntraError(700_212, "No matching federated identity record found for presented assertion audience.")
        }
        let now = clock.now
        guard let expires = token.date("exp"), let issued = token.date("iat"), now < expires,
            issued <= now.addingTimeInterval(300)
        else { throw EntraError(700_024, "Client assertion is not within its valid time range.") }
        let bound = token.claims["kubernetes.io"]
        // The lab's own rule: a token that is not bound to a pod must never get here.
        guard let subject = token.claims["sub"]?.string, let namespace = bound?["namespace"]?.string,
            let account = bound?["serviceaccount"]?["name"]?.string, let pod = bound?["pod"]?["name"]?.string,
            let uid = bound?["pod"]?["uid"]?.string
        else { throw EntraError(50_027, "The token is bound to no pod.") }
        return LabSubject(
            subject: subject, namespace: namespace, serviceAccount: account, podName: pod, podUID: uid,
            node: bound?["node"]?["name"]?.string)
    }
}

/// An error of Entra's token endpoint.
private struct EntraError: Error {
    var code: Int
    var message: String
    var status: Int
    var error: String

    init(_ code: Int, _ message: String, status: Int = 401, error: String = "invalid_client") {
        self.code = code
        self.message = message
        self.status = status
        self.error = status >= 500 ? "temporarily_unavailable" : error
    }

    var json: JSON {
        [
            "error": .string(error), "error_description": .string("AADSTS\(code): \(message)"),
            "error_codes": [.integer(Int64(code))], "trace_id": "0", "correlation_id": "0",
        ]
    }
}
