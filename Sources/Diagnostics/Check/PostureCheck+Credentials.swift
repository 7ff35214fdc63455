import Attribution
import Clouds
import FoundationEssentials
import KubernetesAPI
import Operations
import Settings
import Text
import Tokens
import UpstreamHTTP

extension PostureCheck {
    func credentials() async -> [Posture.Item] {
        let credentials: NodeCredentials
        let options: KubernetesClientOptions
        do {
            credentials = try NodeCredentials(
                kubeconfig: try Kubeconfig.load(path: configuration.kubeconfig, hostRoot: configuration.hostRoot),
                logger: logger)
            options = try KubernetesClientOptions(
                audience: audience,
                podTokenAudiences: configuration.relyingAudiences,
                cloudAudiences: configuration.cloudAudiences,
                userAgent: "podidentd/\(AgentVersion.current)")
        } catch {
            return [
                Posture.Item(
                    "credentials.kubeconfig", .degraded, "\(error)",
                    meaning: "Without the kubelet's credentials no pod gets a token. See kubernetes.kubeconfig and "
                        + "kubernetes.host-root.")
            ]
        }
        let snapshot = credentials.latest
        var items = [
            Posture.Item(
                "credentials.kubeconfig", .ok,
                "\(configuration.kubeconfig), for the API server \(credentials.kubeconfig.server)"),
            certificate(snapshot),
        ]
        let client = KubernetesClient(options: options, credentials: credentials, logger: logger)
        let clouds = configuration.cloudAudiences.sorted()
        let others = clouds + options.podTokenAudiences.sorted()
        items += await rights(client, audiences: [audience].compactMap { $0 } + others)
        if audience == nil, configuration.servesGoogle {
            items.append(notTried("credentials.token", without: "google.provider"))
        }
        // Without Google another cloud's audience stands for what the nodes are granted.
        let granted = configuration.servesGoogle ? audience : clouds.first
        if let granted, !lacks("node-name") { items += await grants(client, audience: granted) }
        items += await certificateWay(client)
        await client.shutdown()
        return items
    }

    /// `nil`: not set.
    private var audience: String? {
        lacks("google.provider") ? configuration.tokenAudience : configuration.googleAudience
    }

    private func certificate(_ snapshot: NodeCredentials.Snapshot) -> Posture.Item {
        let id = "credentials.certificate"
        guard let end = snapshot.notAfter else {
            return Posture.Item(id, .ok, "no client certificate: the kubeconfig has a bearer token")
        }
        let left = (end - UnixInstant.now()).components.seconds
        let date = Date(timeIntervalSince1970: Double(end.sinceEpoch.components.seconds)).ISO8601Format()
        guard left > 0 else {
            return Posture.Item(
                id, .degraded, "expired at \(date)",
                meaning: "No pod gets a token. The kubelet renews it: see the kubelet's log, and whether its pending "
                    + "CertificateSigningRequests are approved.")
        }
        return Posture.Item(id, .ok, "valid until \(date), for \(left / 3600) h \(left % 3600 / 60) min")
    }

    private func rights(_ client: KubernetesClient, audiences: [String]) async -> [Posture.Item] {
        var items: [Posture.Item] = []
        var nodeName = lacks("node-name") ? nil : configuration.nodeName
        do throws(UpstreamFailure) {
            let identity = try await client.identity()
            items.append(judge(identity))
            if nodeName == nil { nodeName = identity.nodeName }
            if let time = identity.serverTime { items.append(clock(time)) }
        } catch  where error.status == 404 {
            items.append(
                Posture.Item(
                    "credentials.identity", .unknown, "this API server has no SelfSubjectReview (Kubernetes 1.28)"))
        } catch {
            items.append(
                Posture.Item(
                    "credentials.identity", .degraded, error.message,
                    meaning: "The API server does not take these credentials, or is not reached."))
            // Nothing of what follows can work.
            return items
        }
        guard let nodeName else { return items + [notTried("credentials.pods", without: "node-name")] }
        let pods: [PodRecord]
        do throws(UpstreamFailure) {
            pods = try await client.pods(ofNode: nodeName)
            items.append(Posture.Item("credentials.pods", .ok, "can list this node's \(counted(pods.count, "pod"))"))
        } catch {
            items.append(
                Posture.Item(
                    "credentials.pods", .degraded, error.message,
                    meaning: "Without its pods' list the agent confirms no pod: all are refused. Is node-name right?"))
            return items
        }
        let candidates = Self.candidates(pods)
        guard let pod = candidates.first else {
            items.append(
                Posture.Item(
                    "credentials.token", .unknown, "not tried: no pod with a ServiceAccount runs on this node"))
            return items
        }
        items.append(await serviceAccount(client, of: pod))
        for audience in audiences { items.append(await token(client, for: candidates, audience)) }
        return items
    }

    /// How far clocks may differ: seconds that a header is not exact by, and what NTP leaves on a busy node.
    private static let skewMax: Int64 = 10

    func clock(_ time: UnixInstant) -> Posture.Item {
        let id = "credentials.clock"
        let skew = (UnixInstant.now() - time).components.seconds
        guard abs(skew) > Self.skewMax else {
            return Posture.Item(id, .ok, "the node's clock agrees with the API server's")
        }
        return Posture.Item(
            id, .degraded,
            "the clock of the node is \(abs(skew)) s \(skew > 0 ? "ahead of" : "behind") that of the API server",
            meaning:
                "Tokens and certificates seem expired, or not valid yet, to one of the two: Google refuses tokens of "
                + "the future. Which clock is wrong, 'chronyc tracking' or 'timedatectl' says on each machine.")
    }

    /// Pods that a token may be asked for: one of each namespace and ServiceAccount, because RBAC may grant the audience
    /// to some.
    static func candidates(_ pods: [PodRecord]) -> [PodRecord] {
        var seen: Set<ServiceAccountReference> = []
        let candidates = pods.filter {
            $0.phase == .running && !$0.isTerminating && $0.staticPodConfigHash == nil && !$0.serviceAccountName.isEmpty
                && seen.insert(ServiceAccountReference(of: $0)).inserted
        }
        return Array(candidates.prefix(candidatesMax))
    }

    /// The most candidates: enough for every namespace of most nodes; each costs the API server one token.
    static let candidatesMax = 10

    func judge(_ identity: KubernetesClient.Identity) -> Posture.Item {
        let found = "\(identity.username), in \(identity.groups.joined(separator: ", "))"
        guard let name = identity.nodeName, lacks("node-name") || name == configuration.nodeName else {
            let expected = lacks("node-name") ? "any node" : "system:node:\(configuration.nodeName)"
            return Posture.Item(
                "credentials.identity", .unsafe, found,
                meaning:
                    "This is not \(expected) in the group system:nodes, so the API server "
                    + "does not keep the agent to the pods of this node. Use this node's kubelet's credentials.")
        }
        if identity.groups.contains("system:masters") {
            return Posture.Item(
                "credentials.identity", .unsafe, found,
                meaning: "In the group system:masters the API server refuses nothing. Use the kubelet's credentials.")
        }
        return Posture.Item("credentials.identity", .ok, found)
    }

    private func serviceAccount(_ client: KubernetesClient, of pod: PodRecord) async -> Posture.Item {
        let id = "credentials.serviceaccounts"
        do throws(UpstreamFailure) {
            let account = try await client.serviceAccount(ServiceAccountReference(of: pod))
            _ = account
            return Posture.Item(
                id, .ok, "can read the ServiceAccounts of this node's pods (\(pod.namespace)/\(pod.name)'s)")
        } catch {
            return Posture.Item(
                id, .degraded, error.message,
                meaning: error.remedy.map { "No pod gets a token: the cluster's administrator has to \($0)." }
                    ?? "Which Google service account a pod is cannot be read, so it gets no token.")
        }
    }

    /// Tries the audience for each candidate, and says for which namespaces it is granted.
    private func token(
        _ client: KubernetesClient, for candidates: [PodRecord], _ audience: String
    ) async -> Posture.Item {
        let id = "credentials.token"
        var (granted, refused): ([String], [String]) = ([], [])
        var refusal = ""
        for pod in candidates {
            let name = "\(pod.namespace)/\(pod.name)"
            do throws(UpstreamFailure) {
                try await client.tryTokenRequest(for: pod, audience: audience)
                granted.append(name)
            } catch  where error.isAudienceForbidden {
                refused.append(name)
                refusal = error.message
            } catch {
                return Posture.Item(
                    id, .degraded, error.message,
                    meaning: "Tried for \(name) and the audience \(audience): such pods get no token.")
            }
        }
        guard let first = granted.first else {
            return Posture.Item(id, .degraded, refusal, meaning: Self.rule(audience, triedFor: refused))
        }
        return Posture.Item(
            id, .ok, "would be granted for \(first) and the audience \(audience) (dry run)",
            meaning: refused.isEmpty
                ? ""
                : "RBAC does not grant it for \(refused.joined(separator: ", ")): right, if only some namespaces or "
                    + "ServiceAccounts shall have it (components audience-by-namespace, audience-by-service-account).")
    }

    /// The one rule that an installation needs (Kubernetes 1.33).
    private static func rule(_ audience: String, triedFor pods: [String]) -> String {
        """
        Tried for \(pods.joined(separator: ", ")): these get no token for this audience. If it is granted to some namespaces
        or ServiceAccounts only, and to none of these, that is as it should be. Else grant it to the nodes, once per cluster:
        apiVersion: rbac.authorization.k8s.io/v1
        kind: ClusterRole
        metadata: {name: podidentd-audience}
        rules:
        - apiGroups: [""]
          verbs: [request-serviceaccounts-token-audience]
          resources: ["\(audience)"]
        and bind it by a ClusterRoleBinding to {apiGroup: rbac.authorization.k8s.io, kind: Group, name: "system:nodes"}.
        """
    }
}
