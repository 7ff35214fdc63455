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
        metadata["upstream"] = "\(failure.upstream.rawValue)"
        metadata["failure"] = "\(failure.kind.rawValue)"
        metadata["status"] = failure.status.map { "\($0)" }
        metadata["message"] = "\(failure.message)"
        logger.warning("no token", metadata: metadata)
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
