import Foundation
import NIOHTTP1
import Synchronization

/// Why a bearer token authenticates no user, in the words of TokenReview's `status.error`.
struct TokenRejection: Error, Equatable {
    let message: String

    static let unrecognized = TokenRejection(message: "invalid bearer token")

    static func because(_ why: String) -> TokenRejection {
        TokenRejection(message: "[invalid bearer token, \(why)]")
    }
}

extension KubernetesEmulator {
    /// How long a token outlives its terminating pod's `deletionTimestamp`.
    private static let terminatingLeeway: TimeInterval = 60

    /// The user of a request; anonymous without credentials, `nil` with bad ones.
    func authenticate(_ request: LabRequest) -> KubernetesUser? {
        if let certificate = request.clientCertificate {
            return KubernetesUser(certificateDER: certificate, authority: authority, now: clock.now)
        }
        guard request.headers.contains(name: "Authorization") else { return .anonymous }
        guard let token = request.bearerToken else { return nil }
        if let node = storage.withLock({ $0.nodeTokens[token] }) { return .node(node) }
        return try? authenticate(token, audiences: options.apiAudiences).user
    }

    /// The ServiceAccount of a token that is signed, unexpired, meant for one of `audiences`, and whose ServiceAccount
    /// and pod still exist.
    func authenticate(
        _ text: String, audiences: [String]
    ) throws(TokenRejection) -> (user: KubernetesUser, audiences: [String]) {
        guard let token = JSONWebToken(text), token.claims["iss"]?.string == options.issuer else {
            throw .unrecognized
        }
        guard token.header["alg"]?.string == "RS256", token.isSigned(by: signingKey.publicKey) else {
            throw .because("go-jose/go-jose: error in cryptographic primitive")
        }
        let shared = token.audiences.filter(audiences.contains)
        guard !shared.isEmpty else {
            throw .because(
                "token audiences \(Self.quoted(token.audiences)) is invalid for the target audiences "
                    + Self.quoted(audiences)
            )
        }
        guard let expiration = token.date("exp"), clock.now < expiration else {
            throw .because("service account token has expired")
        }
        return (try validate(token.claims), shared)
    }

    private func validate(_ claims: JSON) throws(TokenRejection) -> KubernetesUser {
        let bound = claims["kubernetes.io"] ?? [:]
        let namespace = bound["namespace"]?.string ?? ""
        let name = bound["serviceaccount"]?["name"]?.string ?? ""
        let uid = bound["serviceaccount"]?["uid"]?.string ?? ""
        let state = storage.withLock { $0.state }
        guard let account = state.serviceAccounts[LabPod.Key(namespace, name)] else {
            throw .because("serviceaccounts \"\(name)\" not found")
        }
        guard account.uid == uid else {
            throw .because("service account UID (\(account.uid)) does not match claim (\(uid))")
        }
        var extra = ["authentication.kubernetes.io/credential-id": ["JTI=\(claims["jti"]?.string ?? "")"]]
        for kind in ["node", "pod"] {
            guard let name = bound[kind]?["name"]?.string, let uid = bound[kind]?["uid"]?.string else { continue }
            extra["authentication.kubernetes.io/\(kind)-name"] = [name]
            extra["authentication.kubernetes.io/\(kind)-uid"] = [uid]
        }
        if let podName = bound["pod"]?["name"]?.string, let podUID = bound["pod"]?["uid"]?.string {
            try validatePod(state.pods[LabPod.Key(namespace, podName)], claimed: podUID)
        }
        return KubernetesUser(
            name: "system:serviceaccount:\(namespace):\(name)",
            uid: uid,
            groups: ["system:serviceaccounts", "system:serviceaccounts:\(namespace)", "system:authenticated"],
            extra: extra
        )
    }

    private func validatePod(_ pod: LabPod?, claimed uid: String) throws(TokenRejection) {
        guard let pod else { throw .because("service account token has been invalidated") }
        guard pod.uid == uid else {
            throw .because("pod UID (\(pod.uid)) does not match service account pod ref claim (\(uid))")
        }
        if let deletion = pod.deletionTimestamp, clock.now > deletion.addingTimeInterval(Self.terminatingLeeway) {
            throw .because("service account token has been invalidated")
        }
    }

    /// A list as Go's `%q` prints it.
    private static func quoted(_ values: [String]) -> String {
        "[" + values.map { "\"\($0)\"" }.joined(separator: " ") + "]"
    }
}
