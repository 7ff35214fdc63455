/// Every metric of the agent: the one place for names, labels and meanings.
package enum MetricNames {
    // MARK: Requests

    package static let requests = MetricDefinition(
        "podidentd_requests", .counter, labels: ["route", "code"],
        "Answered requests by what they asked for and by HTTP status.")
    package static let requestDuration = MetricDefinition(
        "podidentd_request_duration_seconds", .histogram, unit: .seconds, labels: ["source"],
        "Time from a complete request to its answer: cached (answered from a cache) or fetched (answered after an upstream call)."
    )
    package static let refusals = MetricDefinition(
        "podidentd_refusals", .counter, labels: ["reason"], "Requests answered with a refusal or failure, by reason.")
    package static let attributions = MetricDefinition(
        "podidentd_attributions", .counter, labels: ["outcome"],
        "Look-ups of a connection's pod, at accept and for each request, by outcome.")
    package static let connections = MetricDefinition(
        "podidentd_connections", .gauge, "Open connections of pods.")
    package static let connectionsOpened = MetricDefinition(
        "podidentd_connections_opened", .counter, "Connections of pods that were accepted.")
    package static let connectionResets = MetricDefinition(
        "podidentd_connection_resets", .counter, labels: ["reason"], "Connections reset at accept, unread, by reason.")
    package static let limitsHit = MetricDefinition(
        "podidentd_limits_hit", .counter, labels: ["limit"],
        "Requests and connections that met a limit of the metadata server.")

    // MARK: Kernel

    package static let kernelEvents = MetricDefinition(
        "podidentd_kernel_events", .counter, labels: ["event"],
        "What the kernel programs counted since they were first attached; an agent's restart does not reset it.")
    package static let mapEntries = MetricDefinition(
        "podidentd_kernel_map_entries", .gauge, labels: ["map"], "Entries of a kernel table.")
    package static let mapCapacity = MetricDefinition(
        "podidentd_kernel_map_capacity", .gauge, labels: ["map"],
        "Entries that a kernel table can hold. A full one refuses.")
    package static let hooks = MetricDefinition(
        "podidentd_hooks", .gauge, labels: ["state"], "Kernel hooks that are in place, and that are missing.")
    package static let hostGuard = MetricDefinition(
        "podidentd_host_guard", .gauge, "1 if raw frames to the metadata addresses are dropped as well.")

    // MARK: Tokens

    package static let tokenLookups = MetricDefinition(
        "podidentd_token_lookups", .counter, labels: ["result"],
        "Requests for tokens: hit, miss (started a fetch), join (waited for another's), failure (a remembered one), "
            + "limited, timed_out.")
    package static let tokenEntries = MetricDefinition(
        "podidentd_token_entries", .gauge, labels: ["state"], "Cache entries by state.")
    package static let tokenFetches = MetricDefinition(
        "podidentd_token_fetches", .counter, labels: ["result"], "Ended token fetches, all their repetitions together.")
    package static let accountReads = MetricDefinition(
        "podidentd_service_account_reads", .counter, labels: ["result"], "Ended reads of ServiceAccounts.")
    package static let tokenRefreshes = MetricDefinition(
        "podidentd_token_refreshes", .counter, "Token refreshes in the background, which no request waited for.")
    package static let tokenEvictions = MetricDefinition(
        "podidentd_token_evictions", .counter, "Tokens that made room for others of their pod.")
    package static let upstreamCalls = MetricDefinition(
        "podidentd_upstream_calls", .counter, labels: ["upstream", "result"],
        "Calls for tokens and ServiceAccounts to kubernetes, to Google's sts and iam, and to other clouds by name, each repetition counted."
    )
    package static let upstreamRetries = MetricDefinition(
        "podidentd_upstream_retries", .counter, labels: ["upstream"],
        "Calls that failed and were repeated within their fetch.")
    package static let upstreamDuration = MetricDefinition(
        "podidentd_upstream_call_duration_seconds", .histogram, unit: .seconds, labels: ["upstream"],
        "Duration of calls to upstreams.")

    // MARK: SPIFFE

    package static let spiffeCalls = MetricDefinition(
        "podidentd_spiffe_calls", .counter, labels: ["method", "status"],
        "Ended calls of the SPIFFE Workload API by method and gRPC status. A stream counts when it ends.")
    package static let spiffeIssued = MetricDefinition(
        "podidentd_spiffe_issued", .counter, labels: ["kind"], "SVIDs obtained from the signer.")
    package static let spiffeFailures = MetricDefinition(
        "podidentd_spiffe_issue_failures", .counter, labels: ["reason"], "SVIDs that could not be obtained.")
    package static let spiffePushes = MetricDefinition(
        "podidentd_spiffe_pushes", .counter, "Messages pushed into open streams: new certificates and bundles.")
    package static let spiffeConnectionsRefused = MetricDefinition(
        "podidentd_spiffe_connections_refused", .counter,
        "Connections closed because their pod had too many, or because the kernel did not tell whose they were.")
    package static let spiffeRejections = MetricDefinition(
        "podidentd_spiffe_rejections", .counter, "Secrets that an Envoy rejected; its own log says why.")
    package static let spiffeForeignCertificates = MetricDefinition(
        "podidentd_spiffe_foreign_certificates", .counter,
        "Connections to the metadata server through TLS that showed another pod's certificate.")
    package static let spiffeHoldings = MetricDefinition(
        "podidentd_spiffe_held", .gauge, labels: ["what"], "What the SPIFFE endpoint holds now.")

    // MARK: View of the node

    package static let ready = MetricDefinition(
        "podidentd_ready", .gauge, labels: ["condition"],
        "1 if a condition of readiness holds: hooks, pods, credentials, connection, arrivals.")
    package static let podsNotArriving = MetricDefinition(
        "podidentd_pods_not_arriving", .gauge,
        "Pods whose latest connections, three or more in a row, were redirected to the agent and did not arrive.")
    package static let watchSilence = MetricDefinition(
        "podidentd_pod_watch_silence_seconds", .gauge, unit: .seconds,
        "Since the API server last showed anything of this node's pods. Bookmarks come every 60 s.")
    package static let watchLists = MetricDefinition(
        "podidentd_pod_lists", .counter, labels: ["cause"], "Lists of this node's pods: regular, or for a missed pod.")
    package static let pods = MetricDefinition("podidentd_pods", .gauge, "Pods of this node that are known.")
    package static let cgroups = MetricDefinition("podidentd_cgroups", .gauge, "Cgroups of pods in the index.")
    package static let credentialExpiry = MetricDefinition(
        "podidentd_node_credential_expiry_timestamp_seconds", .gauge, unit: .seconds,
        "When the node's client certificate ends, in Unix time. Without a certificate there is no sample.")
    package static let incidents = MetricDefinition(
        "podidentd_incidents", .counter, labels: ["incident"],
        "What went wrong on the node around the agent, and was survived. Each has a line in the log.")

    // MARK: Records

    package static let auditLines = MetricDefinition(
        "podidentd_audit_lines", .counter, labels: ["result"], "Audit lines written, and lost for want of room.")
    package static let podEvents = MetricDefinition(
        "podidentd_pod_events", .counter, labels: ["result"],
        "Kubernetes Events for pods: sent, failed, suppressed (the same again), dropped (over the limit).")

    // MARK: The process

    package static let build = MetricDefinition("podidentd_build", .info, labels: ["version"], "The running version.")
    package static let cpuSeconds = MetricDefinition(
        "process_cpu_seconds", .counter, unit: .seconds, "CPU time, user and system.")
    package static let residentMemory = MetricDefinition(
        "process_resident_memory_bytes", .gauge, unit: .bytes, "Resident memory.")
    package static let virtualMemory = MetricDefinition(
        "process_virtual_memory_bytes", .gauge, unit: .bytes, "Virtual memory.")
    package static let openDescriptors = MetricDefinition("process_open_fds", .gauge, "Open file descriptors.")
    package static let descriptorLimit = MetricDefinition("process_max_fds", .gauge, "Limit of open file descriptors.")
    package static let startTime = MetricDefinition(
        "process_start_time_seconds", .gauge, unit: .seconds, "When the process started, in Unix time.")

    /// The definitions in the order of exposition and documentation.
    package static let all = [
        requests, requestDuration, refusals, attributions, connections, connectionsOpened, connectionResets, limitsHit,
        kernelEvents, mapEntries, mapCapacity, hooks, hostGuard,
        tokenLookups, tokenEntries, tokenFetches, accountReads, tokenRefreshes, tokenEvictions, upstreamCalls,
        upstreamRetries, upstreamDuration,
        spiffeCalls, spiffeIssued, spiffeFailures, spiffePushes, spiffeConnectionsRefused, spiffeRejections,
        spiffeForeignCertificates, spiffeHoldings,
        ready, podsNotArriving, watchSilence, watchLists, pods, cgroups, credentialExpiry, incidents,
        auditLines, podEvents,
        build, cpuSeconds, residentMemory, virtualMemory, openDescriptors, descriptorLimit, startTime,
    ]

    /// The table of the documentation, as Markdown.
    package static var table: String {
        let rows = all.map { metric in
            let labels = metric.labels.map { "`\($0)`" }.joined(separator: ", ")
            return "| `\(metric.sampleName)` | \(metric.kind.rawValue) | \(labels) | \(metric.help) |"
        }
        return (["| Name | Type | Labels | Meaning |", "|---|---|---|---|"] + rows).joined(separator: "\n") + "\n"
    }
}
