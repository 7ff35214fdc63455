package import Attribution
import FoundationEssentials
package import MetadataProtocol
package import NIOHTTP1
import Text
package import Tokens

/// AWS's endpoint for containers (ECS, EKS Pod Identity), for clients that get its address from
/// `AWS_CONTAINER_CREDENTIALS_FULL_URI` or `..._RELATIVE_URI`.
///
/// The same credentials as at the instance metadata service, in one request. A token in `Authorization` can only refuse: it
/// has to be the caller's own, whom the kernel has named.
package struct AWSContainerCredentials: CloudRoom {
    /// The addresses that SDKs accept for it.
    package static let hosts = ["169.254.170.2", "169.254.170.23", "fd00:ec2::23"]

    private let roles: AWSMetadataRoom
    private let hostNames = HostNames(only: Self.hosts)

    private static let path = "/v1/credentials"
    /// Clients wait for 2 s and try three times.
    static let waitBudget = Duration.milliseconds(1_900)
    private static let refreshBudget = Duration.seconds(1)

    /// `roles` says whose role is which.
    package init(roles: AWSMetadataRoom) {
        self.roles = roles
    }

    package var root: Response? { nil }

    /// Whether the path is this room's, or one of the metadata of ECS tasks, which is not served.
    package func owns(_ path: String) -> Bool {
        path == Self.path || ["/v2/", "/v3/", "/v4/"].contains { path.hasPrefix($0) }
    }

    package func validate(_ head: HTTPRequestHead, _ target: RequestTarget) throws(RequestRefusal) -> CloudRequest {
        try target.check(head, isFor: hostNames)
        guard target.path == Self.path else { throw .notFound }
        guard head.method == .GET || head.method == .HEAD else {
            throw .room(RoomRefusal(.methodNotAllowed, .methodNotAllowed, "Use GET."))
        }
        var request = CloudRequest(
            .cloudCredential, waitBudget: Self.waitBudget, refreshBudget: Self.refreshBudget)
        if let token = try head.onlyField("Authorization") {
            guard Claims(token) != nil else {
                throw .room(
                    RoomRefusal(.badRequest, .malformed, "The Authorization header is no ServiceAccount token."))
            }
            request.sessionToken = SecretToken(token)
        }
        return request
    }

    package func refusal(of request: CloudRequest, from pod: PodUID) -> Response? {
        guard let token = request.sessionToken, Claims(token.exposed)?.podUID != pod.description else { return nil }
        return form(
            ErrorResponse.error(.forbidden, "The token in the Authorization header is another pod's.")
                .because(.sessionTokenInvalid))
    }

    package func identity(of account: ServiceAccountRecord) throws(RequestRefusal) -> CloudIdentity? {
        try roles.identity(of: account)
    }

    package func content(
        of request: CloudRequest, from pod: PodRecord, account: ServiceAccountRecord
    ) throws(RequestRefusal) -> CloudContent {
        guard let identity = try identity(of: account) else {
            throw .room(
                RoomRefusal(
                    .forbidden, .cloudIdentityMissing,
                    "Your Kubernetes service account (\(account.reference)) has no annotation "
                        + "\(AWSMetadataRoom.annotation), so it has no role in AWS."))
        }
        return .credential(CloudCredential(identity: identity))
    }

    package func response(
        to failure: TokenFailure, reading request: CloudRequest, from pod: PodRecord
    ) -> Response {
        form(ErrorResponse.unreadableAccount(failure, retryAfter: AWSForm.retryAfter(failure) ?? 1))
    }

    package func response(
        with token: ServedToken, to request: CloudRequest, for credential: CloudCredential
    ) -> Response {
        guard let document = AWSCredentialDocument(token), let role = AWSRoleARN(credential.identity.principal) else {
            return form(AWSForm.unusable)
        }
        return form(Response(.ok, .json, .secret(document.container(accountID: role.accountID))))
    }

    package func response(
        to failure: TokenFailure, fetching credential: CloudCredential, for request: CloudRequest,
        account: ServiceAccountReference
    ) -> Response {
        form(AWSForm.failure(failure, credential, account, final: .forbidden))
    }

    /// `{"code": ..., "message": ...}`, which SDKs show.
    package func form(_ response: Response) -> Response {
        var response = AWSForm.apply(to: response)
        guard response.status != .ok, case .text(let text) = response.body else { return response }
        let code =
            switch response.status {
            case .forbidden: "AccessDenied"
            case .serviceUnavailable, .tooManyRequests: "ServiceUnavailable"
            default: "InvalidRequest"
            }
        var body = #"{"code":""# + code + #"","message":"#
        body.appendQuoted(text)
        response.explanation = response.explanation ?? text
        response.contentType = .json
        response.body = .text(body + "}")
        return response
    }

    /// Claims of a ServiceAccount token about its pod. The agent does not rely on them: it compares them with the kernel's tag.
    private struct Claims {
        let podUID: String

        init?(_ token: String) {
            let parts = token.split(separator: ".", omittingEmptySubsequences: false)
            guard parts.count == 3, token.utf8.count <= 16_384, let bytes = Base64URL.decode(parts[1]),
                let wire = try? JSONDecoder().decode(Wire.self, from: Data(bytes)),
                let uid = wire.kubernetes.pod?.uid
            else { return nil }
            podUID = uid
        }

        private struct Wire: Decodable {
            var kubernetes: Kubernetes

            enum CodingKeys: String, CodingKey {
                case kubernetes = "kubernetes.io"
            }

            struct Kubernetes: Decodable {
                var pod: Pod?
            }

            struct Pod: Decodable {
                var uid: String
            }
        }
    }
}
