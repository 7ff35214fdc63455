import Attribution
import KubernetesAPI
import Operations
import Settings
import Tokens

/// Rights in the cluster that are wider than what is configured: usually left by an earlier installation, because
/// 'kubectl apply' removes nothing.
extension PostureCheck {
    /// Namespaces of pods that are asked about, at most.
    private static let namespaceLimit = 16
    /// An audience that no rule names: only a wildcard grants it.
    private static let strangeAudience = "https://podidentd.invalid/any-audience"

    /// One item, or none where the API server cannot be asked: what else is wrong then is said elsewhere.
    func grants(_ client: KubernetesClient, audience: String) async -> [Posture.Item] {
        let id = "credentials.rights"
        do throws(UpstreamFailure) {
            let pods = try await client.pods(ofNode: configuration.nodeName)
            var excess: [String] = []
            if try await client.isAllowed(Self.question(Self.strangeAudience)) {
                excess.append("nodes may ask for tokens of any audience: a rule names the resource '*'")
            }
            excess += try await excessNamespaces(client, audience: audience, pods: pods)
            if let problem = try await strayNodeRight(client, pods: pods) { excess.append(problem) }
            guard excess.isEmpty else {
                return [
                    Posture.Item(
                        id, .degraded, excess.joined(separator: "; "),
                        meaning: "Pods or a stolen credential may do more than was meant. 'kubectl apply' leaves roles "
                            + "and bindings that a kustomization no longer has: 'deploy/prune DIRECTORY' names them.")
                ]
            }
            return [Posture.Item(id, .ok, "no wider than configured")]
        } catch {
            return []
        }
    }

    private static func question(_ audience: String, in namespace: String = "") -> AccessReviewRequest {
        AccessReviewRequest(verb: KubernetesClient.audienceVerb, resource: audience, namespace: namespace)
    }

    /// The grants of the audience in namespaces that `kubernetes.audience-namespaces` does not name.
    private func excessNamespaces(
        _ client: KubernetesClient, audience: String, pods: [PodRecord]
    ) async throws(UpstreamFailure) -> [String] {
        let named = Set(configuration.audienceNamespaces)
        guard !named.isEmpty else { return [] }
        if try await client.isAllowed(Self.question(audience)) {
            return [
                "the audience is granted in every namespace, and kubernetes.audience-namespaces names \(named.count)"
            ]
        }
        var excess: [String] = []
        for namespace in Set(pods.map(\.namespace)).subtracting(named).sorted().prefix(Self.namespaceLimit)
        where try await client.isAllowed(Self.question(audience, in: namespace)) {
            excess.append(
                "the audience is granted in the namespace \(namespace), which kubernetes.audience-namespaces lacks")
        }
        return excess
    }

    /// The right that the component startup-taint gives, where that component is missing.
    private func strayNodeRight(
        _ client: KubernetesClient, pods: [PodRecord]
    ) async throws(UpstreamFailure) -> String? {
        guard configuration.startupTaint == nil, let own = pods.first(where: { $0.uid == configuration.podUID }),
            !own.serviceAccountName.isEmpty
        else { return nil }
        let account = ServiceAccountReference(of: own)
        guard try await client.isAllowed(AccessReviewRequest(verb: "patch", resource: "nodes"), to: account) else {
            return nil
        }
        return "the ServiceAccount \(account) may change every Node, and startup-taint.key is not set"
    }
}
