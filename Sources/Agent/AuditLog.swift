import Attribution
import Logging
import Tokens

/// One line for every token minted and every refusal, naming who and what, never the token.
struct AuditLog: Sendable {
    let logger: Logger

    func record(_ report: TokenFetchReport) {
        var metadata: Logger.Metadata = [
            "namespace": "\(report.pod.namespace)",
            "pod": "\(report.pod.name)",
            "uid": "\(report.pod.uid)",
            "serviceaccount": "\(report.pod.serviceAccountName)",
            "token": "\(report.key.summary)",
            "milliseconds": "\(report.duration.wholeMilliseconds)",
        ]
        guard let failure = report.failure else {
            logger.info("token minted", metadata: metadata)
            return
        }
        metadata.describe(failure)
        logger.warning("no token", metadata: metadata)
    }

    func record(_ report: ServiceAccountFailureReport) {
        var metadata: Logger.Metadata = [
            "namespace": "\(report.account.namespace)",
            "serviceaccount": "\(report.account.name)",
            "milliseconds": "\(report.duration.wholeMilliseconds)",
        ]
        metadata.describe(report.failure)
        logger.warning("ServiceAccount cannot be read", metadata: metadata)
    }
}

extension Logger.Metadata {
    fileprivate mutating func describe(_ failure: UpstreamFailure) {
        self["upstream"] = "\(failure.upstream.rawValue)"
        self["failure"] = "\(failure.kind.rawValue)"
        self["status"] = failure.status.map { "\($0)" }
        self["message"] = "\(failure.message)"
    }
}

extension TokenKey {
    fileprivate var summary: String {
        let account =
            switch target {
            case .federated: "federated"
            case .googleServiceAccount(let email): email
            case .serviceAccount: "the pod itself"
            }
        return switch kind {
        case .accessToken(let scopes): "access token for \(account), scopes \(scopes.sorted.joined(separator: " "))"
        case .identityToken(let audience): "identity token for \(account), audience \(audience)"
        case .podToken(let audience): "pod token, audience \(audience)"
        case .federation: "federated token for calls to IAM Credentials"
        }
    }
}

extension Duration {
    fileprivate var wholeMilliseconds: Int64 {
        components.seconds * 1000 + components.attoseconds / 1_000_000_000_000_000
    }
}
