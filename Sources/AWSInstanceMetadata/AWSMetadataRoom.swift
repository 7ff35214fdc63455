package import Attribution
package import MetadataProtocol
package import NIOHTTP1
import Text
package import Tokens

/// AWS's instance metadata service, version 2, as far as the SDKs ask for it.
///
/// Credentials of the role that the ServiceAccount's annotation names, and where the node is. Nothing of the machine:
/// no user data, no signed documents, no keys.
package struct AWSMetadataRoom: CloudRoom {
    package struct Configuration: Sendable {
        package var cloud: CloudName
        /// Whether requests without a session token are served, as version 1 did.
        package var servesVersion1: Bool
        package var allowed: CloudAllowList
        package var region: @Sendable () -> String?
        package var zone: @Sendable () -> String?

        package init(
            cloud: CloudName, servesVersion1: Bool = false, allowed: CloudAllowList = CloudAllowList(),
            region: @escaping @Sendable () -> String?, zone: @escaping @Sendable () -> String?
        ) {
            self.cloud = cloud
            self.servesVersion1 = servesVersion1
            self.allowed = allowed
            self.region = region
            self.zone = zone
        }
    }

    /// The annotation of EKS's IAM roles for service accounts.
    package static let annotation = "eks.amazonaws.com/role-arn"

    let configuration: Configuration
    private let tokens: SessionTokens
    private let hostNames = HostNames(only: ["169.254.169.254", "fd00:ec2::254"])

    /// boto3 waits for 1 s and tries once; the Go SDK for 0.5 s, three times.
    static let waitBudget = Duration.milliseconds(950)
    private static let refreshBudget = Duration.milliseconds(450)

    package init(_ configuration: Configuration, tokens: SessionTokens) {
        self.configuration = configuration
        self.tokens = tokens
    }

    var cloud: CloudName { configuration.cloud }

    enum Operation: String {
        case sessionToken, role, extendedRole, credentials, extendedCredentials, region, zone, document, nothing
    }

    private static let sessionTokenPath = "/latest/api/token"
    private static let roles = "/latest/meta-data/iam/security-credentials"
    private static let extendedRoles = "/latest/meta-data/iam/security-credentials-extended"

    // MARK: Requests

    package func owns(_ path: String) -> Bool {
        path == "/latest" || path.hasPrefix("/latest/") || Self.isOldVersion(path)
    }

    /// `/2021-01-03/...`, `/1.0/...`. Google's own old version, `/0.1/`, is none of them.
    private static func isOldVersion(_ path: String) -> Bool {
        let version = path.utf8.dropFirst().prefix { $0 != UInt8(ascii: "/") }
        if version.elementsEqual("1.0".utf8) { return true }
        return version.count == 10
            && version.enumerated().allSatisfy { index, byte in
                index == 4 || index == 7
                    ? byte == UInt8(ascii: "-") : (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
            }
    }

    package func validate(_ head: HTTPRequestHead, _ target: RequestTarget) throws(RequestRefusal) -> CloudRequest {
        try target.check(head, isFor: hostNames)
        if target.path == Self.sessionTokenPath {
            guard head.method == .PUT else { throw Self.refusal(.methodNotAllowed, "Use PUT to get a session token.") }
            var request = request(.sessionToken, .sessionToken)
            request.seconds = try Self.seconds(of: head)
            return request
        }
        guard head.method == .GET || head.method == .HEAD else {
            throw Self.refusal(.methodNotAllowed, "The metadata service is read-only: use GET or HEAD.")
        }
        guard !Self.isOldVersion(target.path) else { throw Self.refusal(.notFound, "Not Found") }
        var request = request(at: target.path)
        request.sessionToken = try head.onlyField("X-aws-ec2-metadata-token").map { SecretToken($0) }
        guard request.sessionToken != nil || configuration.servesVersion1 else {
            throw .room(
                RoomRefusal(
                    .unauthorized, .sessionTokenMissing,
                    "This is version 2 of the instance metadata service: PUT \(Self.sessionTokenPath) first, and send "
                        + "the token in the header X-aws-ec2-metadata-token."))
        }
        return request
    }

    private func request(at path: String) -> CloudRequest {
        let trimmed = path.hasSuffix("/") ? String(path.dropLast()) : path
        switch trimmed {
        case Self.roles: return request(.role, .cloudListing)
        case Self.extendedRoles: return request(.extendedRole, .cloudListing)
        case "/latest/meta-data/placement/region": return request(.region, .cloudValue)
        case "/latest/meta-data/placement/availability-zone": return request(.zone, .cloudValue)
        case "/latest/dynamic/instance-identity/document": return request(.document, .cloudValue)
        default: break
        }
        for (parent, operation) in [(Self.roles, Operation.credentials), (Self.extendedRoles, .extendedCredentials)]
        where path.hasPrefix(parent + "/") {
            var request = request(operation, .cloudCredential)
            request.name = String(path.dropFirst(parent.count + 1))
            return request.name.contains("/") ? self.request(.nothing, .unknown) : request
        }
        return request(.nothing, .unknown)
    }

    private func request(_ operation: Operation, _ routeClass: RouteClass) -> CloudRequest {
        var request = CloudRequest(routeClass, waitBudget: Self.waitBudget, refreshBudget: Self.refreshBudget)
        request.operation = operation.rawValue
        return request
    }

    /// The life that a client asks for: digits alone.
    private static func seconds(of head: HTTPRequestHead) throws(RequestRefusal) -> Int {
        let field = "X-aws-ec2-metadata-token-ttl-seconds"
        guard let text = try head.onlyField(field), (1...5).contains(text.utf8.count),
            text.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }), let seconds = Int(text),
            SessionTokens.seconds.contains(seconds)
        else {
            throw Self.refusal(
                .badRequest, "The header \(field) must be a whole number from 1 to \(SessionTokens.seconds.upperBound)."
            )
        }
        return seconds
    }

    private static func refusal(_ status: Response.Status, _ text: String) -> RequestRefusal {
        let cause: RefusalCause =
            switch status {
            case .methodNotAllowed: .methodNotAllowed
            case .notFound: .notFound
            default: .malformed
            }
        return .room(RoomRefusal(status, cause, text))
    }

    package func refusal(of request: CloudRequest, from pod: PodUID) -> Response? {
        guard let token = request.sessionToken, !tokens.accepts(token.exposed, from: pod) else { return nil }
        // 401 makes the SDKs that can fetch a new token do so.
        return form(
            ErrorResponse.error(.unauthorized, "The session token is not this pod's, or has ended: PUT a new one.")
                .because(.sessionTokenInvalid))
    }

    /// Lets a session token be given again for a second, which is little of its life unless that is short. Any other answer
    /// ends with the session token of its request.
    package func validity(of request: CloudRequest) -> Duration {
        if request.operation == Operation.sessionToken.rawValue { return request.seconds >= 60 ? .seconds(1) : .zero }
        return request.sessionToken.map { tokens.remaining(of: $0.exposed) } ?? .seconds(1)
    }

    // MARK: Identity

    package func identity(of account: ServiceAccountRecord) throws(RequestRefusal) -> CloudIdentity? {
        guard let text = account.annotations[Self.annotation] else { return nil }
        guard let role = AWSRoleARN(text) else {
            throw .room(
                RoomRefusal(
                    .notFound, .cloudIdentityInvalid,
                    "The annotation \(Self.annotation) of your Kubernetes service account (\(account.reference)) is not "
                        + "the ARN of an IAM role: it must read arn:aws:iam::ACCOUNT:role/NAME."))
        }
        guard configuration.allowed.allows(role.text, in: account.namespace) else {
            throw .room(
                RoomRefusal(
                    .notFound, .cloudIdentityNotAllowed,
                    "Service accounts of the namespace \(account.namespace) may not use \(role.text). Ask your cluster "
                        + "administrator to add it to podidentd's aws.role-allow."))
        }
        return CloudIdentity(cloud: cloud, principal: role.text, annotations: [Self.annotation: text])
    }

    // MARK: Content

    package func content(
        of request: CloudRequest, from pod: PodRecord, account: ServiceAccountRecord
    ) throws(RequestRefusal) -> CloudContent {
        let operation = Operation(rawValue: request.operation) ?? .nothing
        if operation == .nothing { throw Self.refusal(.notFound, "Not Found") }
        guard account.annotations[Self.annotation] != nil else { throw Self.noIdentity(operation, account) }
        if operation == .sessionToken {
            let answer = sessionToken(request, for: pod)
            // A wrong annotation is told where the role is asked for: clients that get no token say nothing.
            guard let identity = try? identity(of: account) else { return .answer(answer) }
            return .announcing(CloudCredential(identity: identity), answer)
        }
        guard let identity = try identity(of: account), let role = AWSRoleARN(identity.principal) else {
            throw Self.noIdentity(operation, account)
        }
        switch operation {
        case .role, .extendedRole:
            return .listing(CloudCredential(identity: identity), plain(role.roleName))
        case .credentials, .extendedCredentials:
            guard request.name == role.roleName else {
                throw .room(
                    RoomRefusal(
                        .notFound, .cloudIdentityUnknown,
                        "The role of your Kubernetes service account (\(account.reference)) is \(role.roleName)."))
            }
            return .credential(CloudCredential(identity: identity))
        case .region: return .answer(try value(configuration.region()))
        case .zone: return .answer(try value(configuration.zone()))
        case .document: return .answer(try document(account: role.accountID))
        case .sessionToken, .nothing: throw Self.refusal(.notFound, "Not Found")
        }
    }

    private static func noIdentity(_ operation: Operation, _ account: ServiceAccountRecord) -> RequestRefusal {
        // New SDKs ask for the extended listing first, and go on to the other only after 404.
        let status: Response.Status =
            operation == .extendedRole || operation == .extendedCredentials ? .notFound : .forbidden
        return .room(
            RoomRefusal(
                status, .cloudIdentityMissing,
                "Your Kubernetes service account (\(account.reference)) has no annotation \(annotation), so it has no "
                    + "role in AWS."))
    }

    func sessionTokenAnyway(_ request: CloudRequest, for pod: PodRecord) -> Response {
        sessionToken(request, for: pod)
    }

    private func sessionToken(_ request: CloudRequest, for pod: PodRecord) -> Response {
        var response = plain("")
        response.body = .secret(SecretToken(tokens.make(for: pod.uid, seconds: request.seconds)))
        // Without it some SDKs throw the token away.
        response.fields = [
            Response.Field(name: "X-Aws-Ec2-Metadata-Token-Ttl-Seconds", value: String(request.seconds))
        ]
        return response
    }

    private func value(_ text: String?) throws(RequestRefusal) -> Response {
        guard let text else { throw Self.refusal(.notFound, "Not known on this node") }
        return plain(text)
    }

    private func document(account: String) throws(RequestRefusal) -> Response {
        guard let region = configuration.region() else { throw Self.refusal(.notFound, "Not known on this node") }
        var text = #"{"accountId":"#
        text.appendQuoted(account)
        if let zone = configuration.zone() {
            text += #","availabilityZone":"#
            text.appendQuoted(zone)
        }
        text += #","region":"#
        text.appendQuoted(region)
        return plain(text + "}")
    }
}
