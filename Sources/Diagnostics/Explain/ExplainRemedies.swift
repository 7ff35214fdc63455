import Attribution
import GoogleMetadata
import MetadataProtocol
import Operations
import Settings
import Tokens

/// The results of an attempt to mint, in stages, each failure with its remedy.
struct ExplainRemedies: Sendable {
    let configuration: AgentConfiguration
    /// Knows the words that pods get for what an operator has to change.
    let failures: GoogleFailures

    private typealias Stage = Explanation.Stage

    func stages(of trial: TokenTrial, pod: PodRecord) -> [Explanation.Stage] {
        let reference = ServiceAccountReference(of: pod)
        var stages: [Stage] = []
        for step in TokenTrial.Step.allCases {
            if let attempt = trial.attempts.first(where: { $0.step == step }) {
                stages.append(stage(of: attempt, trial, reference))
            } else if step == .impersonation, trial.lifetime != nil {
                stages.append(
                    Stage(step.title, .skipped, "not needed: \(reference) has no iam.gke.io/gcp-service-account"))
            } else {
                stages.append(Stage(step.title, .skipped, "not tried"))
            }
        }
        if let lifetime = trial.lifetime {
            let target = trial.account?.googleServiceAccount ?? "the federated principal of \(reference)"
            stages.append(
                Stage("token", .ok, "minted for \(target), ends in \(lifetime.components.seconds) s; not shown"))
        }
        return stages
    }

    private func stage(
        of attempt: TokenTrial.Attempt, _ trial: TokenTrial, _ reference: ServiceAccountReference
    ) -> Stage {
        guard let failure = attempt.failure else {
            return Stage(attempt.step.title, .ok, success(attempt.step, trial, reference))
        }
        let status = failure.status.map { "\($0), " } ?? ""
        return Stage(
            attempt.step.title, .failed, "\(status)\(failure.kind.words): \(failure.message)",
            remedy: remedy(failure, attempt.step, trial.account?.googleServiceAccount, reference))
    }

    private func success(
        _ step: TokenTrial.Step, _ trial: TokenTrial, _ reference: ServiceAccountReference
    ) -> String {
        switch step {
        case .serviceAccount:
            let target = trial.account?.googleServiceAccount.map { "acts as \($0)" } ?? "acts as itself"
            return "\(reference), \(target)"
        case .tokenRequest: return "the API server minted for audience \(subjectAudience)"
        case .exchange: return "STS accepts it for \(configuration.providerAudience)"
        case .impersonation: return "IAM lets it act as \(trial.account?.googleServiceAccount ?? "")"
        }
    }

    private var subjectAudience: String { configuration.tokenAudience ?? configuration.providerAudience }

    // MARK: Remedies

    private func remedy(
        _ failure: UpstreamFailure, _ step: TokenTrial.Step, _ account: String?, _ reference: ServiceAccountReference
    ) -> String {
        switch failure.kind {
        case .denied, .notFound, .misconfigured: return advice(failure, step, account, reference)
        case .rateLimited: return "the upstream limits requests; this passes, or its quota has to be raised"
        case .staleSubjectToken: return staleAdvice(failure)
        case .unavailable: return unavailableAdvice(failure, step)
        }
    }

    /// The lines that a pod gets after the first, which repeats the failure.
    private func advice(
        _ failure: UpstreamFailure, _ step: TokenTrial.Step, _ account: String?, _ reference: ServiceAccountReference
    ) -> String {
        if failure.upstream == .iamCredentials, failure.kind == .notFound {
            return "create \(account ?? "the Google service account"), or correct the annotation "
                + "iam.gke.io/gcp-service-account of ServiceAccount \(reference)"
        }
        let response = failures.response(
            to: .upstream(failure, account: reference, googleServiceAccount: account),
            credential: step == .serviceAccount ? .serviceAccount : .accessToken)
        guard case .text(let text) = response.body else { return failure.message }
        let lines = text.split(separator: "\n").dropFirst().filter { !$0.hasPrefix("For more") && !$0.hasPrefix("\t") }
        return lines.isEmpty ? failure.message : lines.joined(separator: "\n")
    }

    private func staleAdvice(_ failure: UpstreamFailure) -> String {
        let provider = configuration.providerAudience
        if failure.upstream == .iamCredentials {
            return "IAM does not accept the federated token that STS has just made; try again in a minute"
        }
        if failure.message.contains("issuer") {
            return "set the issuer of \(provider) to this cluster's (the API server's --service-account-issuer)"
        }
        if failure.message.contains("audience") {
            return "add \"\(subjectAudience)\" to the allowed audiences of \(provider), or set google.token-audience "
                + "to one of them"
        }
        if failure.message.contains("key") || failure.message.contains("signature") {
            return "\(provider) does not know this cluster's signing keys: upload the JWKS again ('kubectl get --raw "
                + "/openid/v1/jwks'), or let its issuer serve them"
        }
        return "STS does not accept the pod's token: compare the clocks of this node's API server and Google, and the "
            + "issuer, keys and audiences of \(provider)"
    }

    private func unavailableAdvice(_ failure: UpstreamFailure, _ step: TokenTrial.Step) -> String {
        let (place, authority) =
            switch failure.upstream {
            case .kubernetes: ("the API server of kubernetes.kubeconfig", "certificate-authority in that kubeconfig")
            case .securityTokenService: (configuration.stsURL, "google.ca-file, or the image's own certificates")
            case .iamCredentials: (configuration.iamCredentialsURL, "google.ca-file, or the image's own certificates")
            case .cloud(let name): ("the token service of \(name)", "the image's own certificates")
            }
        if failure.status == 401 {
            return
                "the API server does not take the node's credentials: have they expired, or is kubernetes.kubeconfig "
                + "not the kubelet's?"
        }
        if failure.message.contains("TLS: ") {
            return "the certificate of \(place) is not valid for anybody whom the agent trusts: correct \(authority); "
                + "a proxy that intercepts TLS has the same effect"
        }
        if failure.status != nil { return "\(place) fails; this may pass" }
        return
            "from this node's network namespace, \(place) must be reachable: check DNS, routes, proxies and firewalls"
    }
}

extension UpstreamFailure.Kind {
    /// The kind of failure for people.
    fileprivate var words: String {
        switch self {
        case .denied: "denied"
        case .notFound: "not found"
        case .misconfigured: "misconfigured"
        case .rateLimited: "rate limited"
        case .staleSubjectToken: "the pod's token is not accepted"
        case .unavailable: "unavailable"
        }
    }
}

extension TokenTrial.Step {
    fileprivate var title: String {
        switch self {
        case .serviceAccount: "ServiceAccount"
        case .tokenRequest: "TokenRequest"
        case .exchange: "Google STS"
        case .impersonation: "IAM Credentials"
        }
    }
}
