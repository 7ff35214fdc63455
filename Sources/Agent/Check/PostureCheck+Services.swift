import Attribution
import FoundationEssentials
import KubernetesAPI
import Operations
import TokenExchange
import Tokens
import UpstreamHTTP

extension PostureCheck {
    // MARK: - Credentials

    func credentials() async -> [Posture.Item] {
        let credentials: NodeCredentials
        let options: KubernetesClientOptions
        do {
            credentials = try NodeCredentials(
                kubeconfig: try Kubeconfig.load(path: configuration.kubeconfig, hostRoot: configuration.hostRoot),
                logger: logger)
            options = try KubernetesClientOptions(
                audience: configuration.tokenAudience ?? configuration.providerAudience,
                podTokenAudiences: Set(configuration.podTokenAudiences), userAgent: "podidentd/\(AgentVersion.current)")
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
        items += await rights(client, audiences: [options.audience] + options.podTokenAudiences.sorted())
        items += await grants(client, audience: options.audience)
        await client.shutdown()
        return items
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
        do throws(UpstreamFailure) {
            items.append(judge(try await client.identity()))
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
        let pods: [PodRecord]
        do throws(UpstreamFailure) {
            pods = try await client.pods(ofNode: configuration.nodeName)
            items.append(Posture.Item("credentials.pods", .ok, "can list this node's \(pods.count) pods"))
        } catch {
            items.append(
                Posture.Item(
                    "credentials.pods", .degraded, error.message,
                    meaning: "Without its pods' list the agent confirms no pod: all are refused. Is node-name right?"))
            return items
        }
        let candidates = pods.filter {
            $0.phase == .running && !$0.isTerminating && $0.staticPodConfigHash == nil && !$0.serviceAccountName.isEmpty
        }
        guard let pod = candidates.first else {
            items.append(
                Posture.Item(
                    "credentials.token", .unknown, "not tried: no pod with a ServiceAccount runs on this node"))
            return items
        }
        items.append(await serviceAccount(client, of: pod))
        for audience in audiences { items.append(await token(client, for: pod, audience)) }
        return items
    }

    private func judge(_ identity: KubernetesClient.Identity) -> Posture.Item {
        let found = "\(identity.username), in \(identity.groups.joined(separator: ", "))"
        guard identity.nodeName == configuration.nodeName else {
            return Posture.Item(
                "credentials.identity", .unsafe, found,
                meaning:
                    "This is not system:node:\(configuration.nodeName) in the group system:nodes, so the API server "
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
                meaning: error.isServiceAccountReadForbidden
                    ? "No pod gets a token: the cluster's administrator has to \(UpstreamFailure.serviceAccountReadRemedy)."
                    : "Which Google service account a pod is cannot be read, so it gets no token.")
        }
    }

    private func token(_ client: KubernetesClient, for pod: PodRecord, _ audience: String) async -> Posture.Item {
        let id = "credentials.token"
        do throws(UpstreamFailure) {
            try await client.tryTokenRequest(for: pod, audience: audience)
            return Posture.Item(
                id, .ok, "would be granted for \(pod.namespace)/\(pod.name) and the audience \(audience) (dry run)")
        } catch  where error.isAudienceForbidden {
            return Posture.Item(id, .degraded, error.message, meaning: Self.rule(audience))
        } catch {
            return Posture.Item(
                id, .degraded, error.message,
                meaning: "Tried for \(pod.namespace)/\(pod.name) and the audience \(audience): such pods get no token.")
        }
    }

    /// The one rule that an installation needs (Kubernetes 1.33).
    private static func rule(_ audience: String) -> String {
        """
        No pod gets a token for this audience. Grant it to the nodes, once per cluster:
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

    // MARK: - Agent

    struct AgentFinding {
        var isUp: Bool
        var items: [Posture.Item]
    }

    /// Longer than a healthy agent ever takes.
    private static let patience = Duration.seconds(5)
    /// Bookmarks come every 60 s; the agent itself gives up a watch after 90.
    private static let silenceSecondsMax: Int64 = 120

    func agentFinding(isInstalled: Bool) async -> AgentFinding {
        let path = configuration.adminSocket
        let status: AgentStatus
        do {
            let data = Data(
                try await Self.within(Self.patience) { try await AdminClient(socketPath: path).get("/debug/status") })
            status = try JSONDecoder().decode(AgentStatus.self, from: data)
        } catch {
            let meaning =
                isInstalled
                ? "The hooks outlive it: pods that ask for credentials are refused until it runs."
                : "It is to be expected before the installation."
            let item = Posture.Item(
                "agent.reachable", isInstalled ? .degraded : .unknown, "\(error)", meaning: meaning)
            return AgentFinding(isUp: false, items: [item])
        }
        var items = [Posture.Item("agent.reachable", .ok, "answers at \(path), as node \(status.node)")]
        items.append(
            status.version == AgentVersion.current
                ? Posture.Item("agent.version", .ok, status.version)
                : Posture.Item(
                    "agent.version", .degraded, "the agent is \(status.version), this command \(AgentVersion.current)",
                    meaning: "Judge it by a command of its own version."))
        items += await readiness(status)
        items.append(watch(status))
        if let pods = status.podsNotArriving { items.append(arrivals(pods)) }
        return AgentFinding(isUp: true, items: items)
    }

    /// Whether the agent is ready, and what that rests on.
    private func readiness(_ status: AgentStatus) async -> [Posture.Item] {
        let path = configuration.adminSocket
        let report: ReadinessReport
        do {
            let data = Data(
                try await Self.within(Self.patience) { try await AdminClient(socketPath: path).get("/debug/ready") })
            report = try JSONDecoder().decode(ReadinessReport.self, from: data)
        } catch {
            return [Posture.Item("agent.ready", .unknown, "\(error)")]
        }
        var items = [
            report.problems.isEmpty
                ? Posture.Item("agent.ready", .ok, "serves, with \(status.hooks.count) hooks and \(status.pods) pods")
                : Posture.Item(
                    "agent.ready", .degraded, "not ready: \(report.problems.joined(separator: "; "))",
                    meaning: "Pods may get no answer. 'podidentd debug explain NAMESPACE/POD' says it for one pod.")
        ]
        if let remark = (report.remarks ?? []).first(where: { $0.hasPrefix(Self.connectionPrefix) }) {
            items.append(ownConnection(String(remark.dropFirst(Self.connectionPrefix.count)), report))
        }
        return items
    }

    private static let connectionPrefix = "connection: "

    private func ownConnection(_ remark: String, _ report: ReadinessReport) -> Posture.Item {
        let id = "agent.connection"
        guard report.podUID != nil else {
            return Posture.Item(
                id, .untried, remark,
                meaning: "The agent does not know its own pod's UID, so it makes no connection as that pod. The "
                    + "manifests set pod-uid; without it, only the connections above show the redirect.")
        }
        return Posture.Item(id, .ok, "its own connection through the hooks: \(remark)")
    }

    private func arrivals(_ pods: [String]) -> Posture.Item {
        let id = "agent.arrivals"
        guard !pods.isEmpty else {
            return Posture.Item(id, .ok, "what the kernel redirects to the agent arrives there, pod by pod")
        }
        let place = agents.joined(separator: " and ")
        return Posture.Item(
            id, .degraded,
            "redirected to the agent, and none arrives: connections of \(pods.prefix(10).joined(separator: ", "))",
            meaning: "A firewall of the node (nftables, iptables: input) or a network policy drops connections to "
                + "\(place), or a service mesh in the pod takes them (deploy/mesh.md).")
    }

    private func watch(_ status: AgentStatus) -> Posture.Item {
        let id = "agent.watch"
        guard status.podsSynced, let silence = status.podWatchSilentSeconds else {
            return Posture.Item(
                id, .degraded, status.podWatchError ?? "the API server has not shown this node's pods yet",
                meaning: "No pod is confirmed: all are held, then refused.")
        }
        guard silence <= Self.silenceSecondsMax else {
            return Posture.Item(
                id, .degraded, "nothing from the API server for \(silence) s: \(status.podWatchError ?? "no error")",
                meaning: "Known pods are served; new ones are held, then refused.")
        }
        return Posture.Item(id, .ok, "complete, and confirmed \(silence) s ago")
    }

    private static func within<Value: Sendable>(
        _ limit: Duration, _ body: @escaping @Sendable () async throws -> Value
    ) async throws -> Value {
        try await withThrowingTaskGroup(of: Value.self) { group in
            group.addTask { try await body() }
            group.addTask {
                try await Task.sleep(for: limit)
                throw ConfigurationError("no answer within \(limit)")
            }
            defer { group.cancelAll() }
            guard let value = try await group.next() else { throw CancellationError() }
            return value
        }
    }

    // MARK: - Google

    func upstreams() async -> [Posture.Item] {
        let exchange: GoogleTokenExchange
        do {
            exchange = try GoogleTokenExchange(Agent.exchange(configuration))
        } catch {
            return [Posture.Item("google.configuration", .degraded, "\(error)")]
        }
        let reached = await exchange.reach()
        await exchange.shutdown()
        return reached.map { upstream, host, failure in
            guard let failure else { return Posture.Item("google.\(upstream.rawValue)", .ok, "\(host) answers") }
            return Posture.Item(
                "google.\(upstream.rawValue)", .degraded, failure.message,
                meaning: "Pods get no new tokens. See the node's DNS, firewall and google.ca-file.")
        }
    }
}
