package import Foundation
import NIOHTTP1
import Synchronization

/// Temporary credentials that the lab's STS issued, with whom they are for.
package struct AWSCredentialRecord: Sendable, Hashable {
    package var accessKeyID: String
    package var secretAccessKey: String
    package var sessionToken: String
    package var role: String
    package var sessionName: String
    package var subject: LabSubject
    package var issued: Date
    package var expires: Date
}

/// AWS Security Token Service: `AssumeRoleWithWebIdentity`, with real verification of the token, and nothing else.
package final class AWSSecurityTokenServiceEmulator: Sendable {
    /// An IAM role, as far as its trust policy and its limits go.
    package struct Role: Sendable {
        /// The condition `ISSUER:sub` of the trust policy (`StringEquals`); empty: none.
        package var subjects: Set<String>
        /// `MaxSessionDuration`.
        package var longestSession: Int64 = 3600

        package init(subjects: Set<String>) {
            self.subjects = subjects
        }
    }

    /// The IAM OIDC provider: whose tokens are taken, for which client IDs.
    private struct Provider {
        var issuer: IssuerDiscovery
        var clientIDs: Set<String>
    }

    private struct Storage {
        var provider: Provider?
        var roles: [String: Role] = [:]
        /// Codes of failures that the next calls get, whatever they ask.
        var failures: [(status: Int, code: String)] = []
        var credentials: [String: AWSCredentialRecord] = [:]
        var change: (@Sendable (String) -> String)?
    }

    /// Successful calls.
    package let log = EventLog<AWSCredentialRecord>()
    package let clock: LabClock
    private let storage = Mutex(Storage())

    package init(clock: LabClock = LabClock()) {
        self.clock = clock
    }

    package func setProvider(_ issuer: IssuerDiscovery, clientIDs: Set<String> = ["sts.amazonaws.com"]) {
        storage.withLock { $0.provider = Provider(issuer: issuer, clientIDs: clientIDs) }
    }

    package func setRole(_ arn: String, _ role: Role?) {
        storage.withLock { $0.roles[arn] = role }
    }

    /// Lets the next calls fail with these codes of STS, in order.
    package func fail(with failures: [(status: Int, code: String)]) {
        storage.withLock { $0.failures += failures }
    }

    /// Lets `change` rewrite every good answer: what a client makes of an answer that is not one.
    package func rewriteAnswers(_ change: (@Sendable (String) -> String)?) {
        storage.withLock { $0.change = change }
    }

    /// The holder of this access key, expired or not.
    package func credentials(_ accessKeyID: String) -> AWSCredentialRecord? {
        storage.withLock { $0.credentials[accessKeyID] }
    }

    /// Answers one request: parameters in the body, in the query, or in both, as SDKs send them.
    package func handle(_ request: LabRequest) async -> LabResponse {
        guard request.path == "/" else { return .text(404, "Not Found") }
        guard request.method == "POST" || request.method == "GET" else { return .text(405, "Method Not Allowed") }
        let pairs = request.query + FormEncoding.decode(request.bodyText)
        let fields = Dictionary(pairs.map { ($0.name, $0.value) }) { first, _ in first }
        do throws(AWSQueryError) {
            guard fields.count == pairs.count else {
                throw AWSQueryError(status: 400, code: "MalformedInput", message: "A parameter is there twice.")
            }
            if let failure = storage.withLock({ $0.failures.isEmpty ? nil : $0.failures.removeFirst() }) {
                throw AWSQueryError(status: failure.status, code: failure.code, message: "The lab was told to fail.")
            }
            let text = Self.answer(try await assume(fields))
            let change = storage.withLock { $0.change }
            return .text(200, change?(text) ?? text, contentType: "text/xml")
        } catch {
            return .text(error.status, error.text, contentType: "text/xml")
        }
    }

    private func assume(_ fields: [String: String]) async throws(AWSQueryError) -> AWSCredentialRecord {
        guard fields["Action"] == "AssumeRoleWithWebIdentity", fields["Version"] == "2011-06-15" else {
            throw AWSQueryError(status: 400, code: "InvalidAction", message: "Could not find operation.")
        }
        let arn = try Self.field("RoleArn", of: fields, lengths: 20...2048)
        let session = try Self.field("RoleSessionName", of: fields, lengths: 2...64)
        guard session.utf8.allSatisfy(Self.isSessionByte) else { throw .validation("RoleSessionName") }
        let text = try Self.field("WebIdentityToken", of: fields, lengths: 4...20_000)
        let seconds: Int64
        if let given = fields["DurationSeconds"] {
            guard let number = Int64(given), (900...43_200).contains(number) else {
                throw .validation("DurationSeconds")
            }
            seconds = number
        } else {
            seconds = 3600
        }
        let (provider, role) = storage.withLock { ($0.provider, $0.roles[arn]) }
        let now = clock.now
        let subject = try await Self.verify(text, provider, now: now)
        // A role that does not exist, and one that does not trust, are the same to the caller.
        guard let role, role.subjects.contains(subject.subject) else {
            throw AWSQueryError(
                status: 403, code: "AccessDenied", message: "Not authorized to perform sts:AssumeRoleWithWebIdentity")
        }
        guard seconds <= role.longestSession else {
            throw AWSQueryError(
                status: 400, code: "ValidationError",
                message: "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
        }
        let record = AWSCredentialRecord(
            accessKeyID: "ASIA" + Self.random("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16),
            secretAccessKey: Self.random(Self.base64, 40), sessionToken: Self.random(Self.base64, 400) + "==",
            role: arn, sessionName: session, subject: subject, issued: now,
            expires: now.addingTimeInterval(TimeInterval(seconds)))
        storage.withLock { $0.credentials[record.accessKeyID] = record }
        log.record(record)
        return record
    }

    private static let base64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

    private static func random(_ alphabet: String, _ count: Int) -> String {
        let characters = Array(alphabet)
        return String((0..<count).map { _ in characters[Int.random(in: 0..<characters.count)] })
    }

    private static func isSessionByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        default: "_+=,.@-".utf8.contains(byte)
        }
    }

    private static func field(
        _ name: String, of fields: [String: String], lengths: ClosedRange<Int>
    ) throws(AWSQueryError) -> String {
        guard let value = fields[name], lengths.contains(value.utf8.count) else { throw .validation(name) }
        return value
    }

    private static func verify(
        _ text: String, _ provider: Provider?, now: Date
    ) async throws(AWSQueryError) -> LabSubject {
        guard let provider, let token = JSONWebToken(text) else {
            throw .identity("The web identity token provided could not be validated.")
        }
        guard token.claims["iss"]?.string == provider.issuer.issuer else {
            throw .identity("No OpenIDConnect provider found in your account for this issuer")
        }
        guard try await isSigned(token, by: provider.issuer) else {
            throw .identity("Couldn't retrieve verification key from your identity provider")
        }
        guard token.audiences.contains(where: provider.clientIDs.contains) else {
            throw .identity("Incorrect token audience")
        }
        guard let expires = token.date("exp"), let issued = token.date("iat"), issued <= now.addingTimeInterval(60)
        else {
            throw .identity("Missing a required claim: exp or iat")
        }
        guard now < expires else {
            throw AWSQueryError(status: 400, code: "ExpiredTokenException", message: "Token expired")
        }
        if let start = token.date("nbf"), start > now.addingTimeInterval(60) {
            throw .identity("The token is not valid yet: nbf")
        }
        let bound = token.claims["kubernetes.io"]
        // The lab's own rule: a token that is not bound to a pod must never get here.
        guard let subject = token.claims["sub"]?.string, let namespace = bound?["namespace"]?.string,
            let account = bound?["serviceaccount"]?["name"]?.string, let pod = bound?["pod"]?["name"]?.string,
            let uid = bound?["pod"]?["uid"]?.string
        else { throw .identity("The token is bound to no pod") }
        return LabSubject(
            subject: subject, namespace: namespace, serviceAccount: account, podName: pod, podUID: uid,
            node: bound?["node"]?["name"]?.string)
    }

    private static func isSigned(_ token: JSONWebToken, by issuer: IssuerDiscovery) async throws(AWSQueryError) -> Bool
    {
        guard token.header["alg"]?.string == "RS256", let keyID = token.header["kid"]?.string else { return false }
        do throws(IssuerDiscovery.Failure) {
            guard let key = try await issuer.key(keyID) else { return false }
            return token.isSigned(by: key)
        } catch {
            throw AWSQueryError(
                status: 400, code: "IDPCommunicationError",
                message: "An error occurred while calling the identity provider: \(error)")
        }
    }

    private static func answer(_ record: AWSCredentialRecord) -> String {
        let parts = record.role.split(separator: ":")
        let name = record.role.split(separator: "/").last ?? ""
        let assumed = "arn:\(parts[1]):sts::\(parts[3]):assumed-role/\(name)/\(record.sessionName)"
        return """
            <AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
              <AssumeRoleWithWebIdentityResult>
                <Audience>sts.amazonaws.com</Audience>
                <AssumedRoleUser>
                  <AssumedRoleId>AROA3XFRBF535PLBIFPI4:\(record.sessionName)</AssumedRoleId>
                  <Arn>\(assumed)</Arn>
                </AssumedRoleUser>
                <Provider>arn:\(parts[1]):iam::\(parts[3]):oidc-provider/lab</Provider>
                <Credentials>
                  <AccessKeyId>\(record.accessKeyID)</AccessKeyId>
                  <SecretAccessKey>\(record.secretAccessKey)</SecretAccessKey>
                  <SessionToken>\(record.sessionToken)</SessionToken>
                  <Expiration>\(Timestamp.rfc3339(record.expires))</Expiration>
                </Credentials>
                <SubjectFromWebIdentityToken>\(record.subject.subject)</SubjectFromWebIdentityToken>
              </AssumeRoleWithWebIdentityResult>
              <ResponseMetadata><RequestId>01234567-89ab-cdef-0123-456789abcdef</RequestId></ResponseMetadata>
            </AssumeRoleWithWebIdentityResponse>
            """
    }
}

/// An error of AWS's query protocol.
struct AWSQueryError: Error {
    var status: Int
    var code: String
    var message: String

    static func validation(_ field: String) -> AWSQueryError {
        AWSQueryError(
            status: 400, code: "ValidationError",
            message: "1 validation error detected: Value at '\(field)' is not valid")
    }

    static func identity(_ message: String) -> AWSQueryError {
        AWSQueryError(status: 400, code: "InvalidIdentityToken", message: message)
    }

    var text: String {
        """
        <ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
          <Error><Type>Sender</Type><Code>\(code)</Code><Message>\(message.replacing("'", with: "&apos;"))</Message></Error>
          <RequestId>01234567-89ab-cdef-0123-456789abcdef</RequestId>
        </ErrorResponse>
        """
    }
}
