import Attribution
import BPF
import Glibc
import KubernetesAPI
import Logging
import Operations

/// One thing that can be configured: its name, meaning, allowed values, default, and where it goes.
package struct ConfigurationKey: Sendable {
    /// Sections and name, `listen.port`. In YAML a section is a mapping; the environment's spelling is
    /// ``environmentName``.
    package let name: String
    package let summary: String
    /// What a value may be, completing the sentence "… is not …".
    package let allowed: String
    /// `nil`: required, unless `isOptional`.
    package let defaultValue: String?
    package let isOptional: Bool
    /// Stores a value, or returns `false` if it is not allowed.
    let store: @Sendable (String, inout AgentConfiguration) throws(ConfigurationError) -> Bool
    /// Takes the key's value over from the first configuration to the second.
    let copy: @Sendable (AgentConfiguration, inout AgentConfiguration) -> Void
    /// Whether a running agent takes over a change when it receives SIGHUP. What the other keys configure is fixed when the
    /// agent starts: sockets, hooks, clients.
    private(set) package var isReloadable = false

    /// `PODIDENTD_LISTEN_PORT` for `listen.port`.
    package var environmentName: String { Self.environmentName(of: name) }

    static func environmentName(of name: String) -> String {
        "PODIDENTD_"
            + String(name.map { $0 == "." || $0 == "-" ? "_" : Character(String($0).uppercased()) })
    }

    /// The same key, whose changes a running agent takes over.
    func reloadable() -> ConfigurationKey {
        var key = self
        key.isReloadable = true
        return key
    }

    /// Takes the key's value over from `new` to `current`, if a running agent can.
    func reload(from new: AgentConfiguration, into current: inout AgentConfiguration) {
        if isReloadable { copy(new, &current) }
    }

    func apply(_ value: String, from source: String, to configuration: inout AgentConfiguration) throws {
        let isAllowed: Bool
        do throws(ConfigurationError) {
            isAllowed = try store(value, &configuration)
        } catch {
            throw ConfigurationError("\(name) (\(source)): \(error)")
        }
        guard isAllowed else { throw ConfigurationError("\(name) (\(source)): '\(value)' is not \(allowed)") }
    }
}

extension ConfigurationKey {
    typealias Field<Value> = WritableKeyPath<AgentConfiguration, Value> & Sendable

    /// A key whose values `parse` understands.
    static func key<Value>(
        _ name: String, _ field: any Field<Value>, default defaultValue: String? = nil, allowed: String,
        parse: @escaping @Sendable (String) -> Value?, _ summary: String
    ) -> ConfigurationKey {
        ConfigurationKey(
            name: name, summary: summary, allowed: allowed, defaultValue: defaultValue, isOptional: false,
            store: { text, configuration in
                guard let value = parse(text) else { return false }
                configuration[keyPath: field] = value
                return true
            },
            copy: { $1[keyPath: field] = $0[keyPath: field] }
        )
    }

    /// A key whose values have a structure: `decode` says itself what is wrong with one.
    static func decoded<Value>(
        _ name: String, _ field: any Field<Value>, default defaultValue: String, allowed: String,
        decode: @escaping @Sendable (String) throws(ConfigurationError) -> Value, _ summary: String
    ) -> ConfigurationKey {
        ConfigurationKey(
            name: name, summary: summary, allowed: allowed, defaultValue: defaultValue, isOptional: false,
            store: { text, configuration throws(ConfigurationError) in
                configuration[keyPath: field] = try decode(text)
                return true
            },
            copy: { $1[keyPath: field] = $0[keyPath: field] }
        )
    }

    /// A key that may be left out, or set to the empty string, which is the same.
    static func optional<Value>(
        _ name: String, _ field: any Field<Value?>, allowed: String, parse: @escaping @Sendable (String) -> Value?,
        _ summary: String
    ) -> ConfigurationKey {
        ConfigurationKey(
            name: name, summary: summary, allowed: allowed, defaultValue: nil, isOptional: true,
            store: { text, configuration in
                guard !text.isEmpty else {
                    configuration[keyPath: field] = nil
                    return true
                }
                guard let value = parse(text) else { return false }
                configuration[keyPath: field] = value
                return true
            },
            copy: { $1[keyPath: field] = $0[keyPath: field] }
        )
    }

    static func text(_ text: String) -> String? {
        !text.isEmpty && text.utf8.count <= 1024 && text.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7f } ? text : nil
    }

    static func path(_ text: String) -> String? {
        text.hasPrefix("/") && text.utf8.count < 4096 && !text.utf8.contains(0) ? text : nil
    }

    static func url(_ text: String) -> String? {
        guard text.hasPrefix("https://") else { return nil }
        return Self.text(text).flatMap { $0.utf8.contains(UInt8(ascii: " ")) ? nil : $0 }
    }

    private static func address4(_ text: String) -> AgentConfiguration.Address? {
        var address = in_addr()
        guard unsafe inet_pton(AF_INET, text, &address) == 1 else { return nil }
        return AgentConfiguration.Address(text: text, value: .ipv4(UInt32(bigEndian: address.s_addr)))
    }

    private static func address6(_ text: String) -> AgentConfiguration.Address? {
        var words: (UInt64, UInt64) = (0, 0)
        guard unsafe inet_pton(AF_INET6, text, &words) == 1 else { return nil }
        return AgentConfiguration.Address(
            text: text, value: .ipv6(UInt64(bigEndian: words.0), UInt64(bigEndian: words.1))
        )
    }

    private static func endpoints(_ text: String) -> [AgentConfiguration.Address]? {
        let parts = text.split(separator: ",").map { $0.filter { $0 != " " } }
        guard (1...8).contains(parts.count) else { return nil }
        let addresses = parts.compactMap { address4($0) ?? address6($0) }
        return addresses.count == parts.count ? addresses : nil
    }

    /// Exact strings: no comma, which separates them, and no space.
    private static func audiences(_ text: String) -> [String]? {
        let parts = text.split(separator: ",").map { String($0.filter { $0 != " " }) }
        let isAllowed = parts.allSatisfy { part in
            (1...256).contains(part.utf8.count) && part.utf8.allSatisfy { (0x21...0x7e).contains($0) }
        }
        return parts.count <= 16 && isAllowed ? parts : nil
    }

    private static func protectedEndpoints(_ text: String) -> [ProtectedEndpoint]? {
        let parts = text.split(separator: ",").map { $0.filter { $0 != " " } }
        guard parts.count <= 32 else { return nil }
        let endpoints = parts.compactMap(protectedEndpoint)
        return endpoints.count == parts.count ? endpoints : nil
    }

    private static func protectedEndpoint(_ text: String) -> ProtectedEndpoint? {
        if let address = address4(text) ?? address6(text) { return ProtectedEndpoint(address: address.value) }
        guard let colon = text.lastIndex(of: ":"),
            let port = number(1...UInt16.max)(String(text[text.index(after: colon)...]))
        else { return nil }
        let host = text[..<colon]
        let address =
            host.hasPrefix("[") && host.hasSuffix("]")
            ? address6(String(host.dropFirst().dropLast())) : address4(String(host))
        return address.map { ProtectedEndpoint(address: $0.value, port: port) }
    }

    static func number<Value: FixedWidthInteger & Sendable>(
        _ range: ClosedRange<Value>
    ) -> @Sendable (String) -> Value? {
        { text in
            guard text.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }) else { return nil }
            return Value(text).flatMap { range.contains($0) ? $0 : nil }
        }
    }

    /// Every key, in the order of the documentation.
    package static let all: [ConfigurationKey] = own + CloudModules.all.flatMap { $0.keys }

    private static let own: [ConfigurationKey] = [
        key(
            "node-name", \.nodeName, allowed: "a node's name", parse: text,
            "This node's name in Kubernetes (downward API: spec.nodeName)."
        ),
        podUID,
        policies,
        clouds,
        key(
            "listen.port", \.listenPort, default: "988", allowed: "a port from \(ListenerPorts.tried) to 65535",
            parse: number(UInt16(ListenerPorts.tried)...65535),
            """
            Where the agent listens inside each pod's network namespace, on 127.0.0.1 and ::1; the node's own is that of \
            pods with the host's network. Where the port is taken it takes one of the seven below. Nothing but \
            redirected connections is served there. Ports below 1024 are those that no ordinary user of a pod can take.
            """
        ),
        key(
            "redirect.endpoints", \.redirectEndpoints, default: "169.254.169.254, fd20:ce::254",
            allowed: "a list of 1 to 8 IP addresses", parse: endpoints,
            """
            The metadata addresses. Pods' connections to their port 80 are led to the agent; DNS (53) and NTP (123) \
            stay open, every other port is refused.
            """
        ),
        key(
            "guard.clouds", \.clouds, default: Cloud.byDefault.map(\.rawValue).joined(separator: ", "),
            allowed: "a list of names among " + Cloud.allCases.map(\.rawValue).joined(separator: ", "),
            parse: Cloud.list,
            """
            Clouds whose metadata servers pods may not reach, besides redirect.endpoints: clouds.md has their addresses \
            and ports. Default: all but aws-containers, whose addresses are also those of EKS Pod Identity. The list \
            need not name the cloud that the node is in, and names of others cost nothing.
            """
        ),
        key(
            "guard.endpoints", \.ownProtectedEndpoints, default: "",
            allowed: "a list of at most 32 endpoints such as 192.0.2.1, 192.0.2.1:80, 2001:db8::1 or [2001:db8::1]:80",
            parse: protectedEndpoints,
            """
            What else pods may not reach, besides redirect.endpoints and guard.clouds; without a port, DNS (53) and NTP \
            (123) stay open.
            """
        ),
        key(
            "guard.require-host", \.requiresHostGuard, default: "false", allowed: "true or false",
            parse: { ["true": true, "false": false][$0] },
            """
            Whether the agent refuses to start where the guard of the node's network namespace cannot be installed \
            (neither by BPF nor by nftables). Without it, pods with CAP_NET_RAW and sandboxed pods are not held back.
            """
        ),
        key(
            "guard.mechanism", \.hostGuardMechanism, default: "auto", allowed: "one of auto, bpf, nftables",
            parse: { ["auto": HostGuard.Mechanism?.none, "bpf": .bpf, "nftables": .nftables][$0] },
            """
            How the guard of the node's network namespace is made: by BPF (Linux 6.4 and later) or by an nftables table \
            "inet podidentd" (any kernel). auto: BPF where the kernel has it. The nftables form knows no pods: those \
            that are allowed through to the machine's own metadata server are held back as well. It reads no lists of \
            addresses: it drops every packet with an IPv4 source route or an unfinished IPv6 routing header.
            """
        ),
        key(
            "bpf.pin-directory", \.pinDirectory, default: "/sys/fs/bpf/podidentd", allowed: "an absolute path",
            parse: path, "Where links and maps outlive the agent. Must lie on a BPF file system."
        ),
        optional(
            "cgroup.mount-point", \.cgroupMountPoint, allowed: "an absolute path", parse: path,
            "Where the host's cgroup v2 hierarchy is mounted. Default: the first cgroup2 entry of /proc/self/mounts."
        ),
        optional(
            "cgroup.kubepods", \.kubepods, allowed: "an absolute path", parse: path,
            """
            The kubelet's kubepods cgroup below that mount point, such as /kubepods.slice. Default: the one of \
            /kubepods, /kubepods.slice, /kubelet/kubepods and /kubelet.slice/kubelet-kubepods.slice that exists.
            """
        ),
        key(
            "kubernetes.kubeconfig", \.kubeconfig, default: "", allowed: "an absolute path, or empty",
            parse: { $0.isEmpty ? "" : path($0) },
            """
            The kubelet's kubeconfig, as the agent sees it. Empty: the first that exists, below kubernetes.host-root, of \
            \(NodeKubeconfig.places.map { "\($0.path) (\($0.owner))" }.joined(separator: ", ")). Its client certificate \
            or token file may rotate while the agent runs. A credential plugin (exec) is run in the agent's own file \
            system view, for at most 10 s.
            """
        ),
        key(
            "kubernetes.host-root", \.hostRoot, default: "", allowed: "an absolute path, or empty",
            parse: { $0.isEmpty ? "" : path($0) },
            "Where the host's root is mounted, if the agent runs in a container: put before every path of the kubeconfig."
        ),
        key(
            "kubernetes.token-seconds", \.tokenLifetimeSeconds, default: "3600",
            allowed: "a number from 3600 to 86400 other than 3607",
            parse: { number(3600...86400)($0).flatMap { $0 == 3607 ? nil : $0 } },
            "Life of the pod-bound tokens. Google's cap their result to it; the API server reads 3607 as a year."
        ),
        key(
            "kubernetes.pod-token-audiences", \.podTokenAudiences, default: "",
            allowed: "a list of at most 16 audiences of 1 to 256 printable characters other than space and comma",
            parse: audiences,
            """
            Relying parties other than Google, such as a Vault, for which a pod may fetch its own Kubernetes JWT, bound \
            to its UID, at /podidentd/v1/token?audience=AUDIENCE (alt=json: with its remaining life). RBAC must allow \
            each to the node: verb request-serviceaccounts-token-audience. Empty: the path does not exist.
            """
        ),
        audienceNamespaces,
        key(
            "kubernetes.events", \.writesEvents, default: "true", allowed: "true or false",
            parse: { ["true": true, "false": false][$0] },
            "Whether errors that a pod's owner can put right are told as Kubernetes Events on the pod."
        ).reloadable(),
        key(
            "google.provider", \.providerAudience, allowed: "a workload identity provider's full name", parse: text,
            """
            The provider to exchange at: //iam.googleapis.com/projects/NUMBER/locations/global/workloadIdentityPools/\
            POOL/providers/PROVIDER, or identitynamespace:POOL:PROVIDER.
            """
        ),
        optional(
            "google.token-audience", \.tokenAudience, allowed: "an audience", parse: text,
            "Audience of the pod-bound tokens. Default: google.provider. RBAC must allow it to the node."
        ),
        key(
            "google.sts-url", \.stsURL, default: "https://sts.googleapis.com/v1/token", allowed: "an https URL",
            parse: url, "Google's Security Token Service, or a regional one."
        ),
        key(
            "google.iam-credentials-url", \.iamCredentialsURL, default: "https://iamcredentials.googleapis.com",
            allowed: "an https URL", parse: url, "Google's IAM Credentials API."
        ),
        optional(
            "google.ca-file", \.caFile, allowed: "an absolute path", parse: path,
            "PEM certificates to trust for these two, instead of the system's."
        ),
        key(
            "google.project-id", \.projectID, allowed: "a project ID", parse: text,
            "project/project-id."
        ),
        key(
            "google.project-number", \.projectNumber, allowed: "digits only", parse: number(1...UInt64.max),
            "project/numeric-project-id."
        ),
        optional(
            "google.pool", \.poolName, allowed: "a pool's name", parse: text,
            "The account name of pods that impersonate nobody. Default: the pool named in google.provider."
        ),
        key(
            "google.universe-domain", \.universeDomain, default: "googleapis.com", allowed: "a domain", parse: text,
            "universe/universe-domain."
        ),
        optional(
            "instance.zone", \.zone, allowed: "a zone's name", parse: text,
            """
            The last part of instance/zone. Default: the Node's annotation, else label, podidentd.io/zone; else its \
            label topology.kubernetes.io/zone; else "unknown".
            """
        ),
        optional(
            "instance.id", \.instanceID, allowed: "digits only", parse: number(0...UInt64.max),
            """
            instance/id. Default: the Node's annotation, else label, podidentd.io/instance-id; else the end of its \
            spec.providerID, else its annotation container.googleapis.com/instance_id, if that is a number; else a \
            hash of its UID; and 0 until the Node has been read.
            """
        ),
        optional(
            "instance.hostname", \.hostname, allowed: "a host name", parse: text,
            """
            instance/hostname. Default: the Node's annotation, else label, podidentd.io/hostname; else its address of \
            type InternalDNS, else of type Hostname; else node-name.
            """
        ),
        optional(
            "cluster.name", \.clusterName, allowed: "a name", parse: text,
            """
            instance/attributes/cluster-name. Default: the Node's annotation, else label, podidentd.io/cluster-name; \
            else "unknown".
            """
        ),
        optional(
            "cluster.location", \.clusterLocation, allowed: "a region or zone", parse: text,
            """
            instance/attributes/cluster-location. Default: the Node's annotation, else label, \
            podidentd.io/cluster-location; else its label topology.kubernetes.io/region; else "unknown".
            """
        ),
        optional(
            "cluster.uid", \.clusterUID, allowed: "an identifier", parse: text,
            """
            instance/attributes/cluster-uid. Default: the Node's annotation, else label, podidentd.io/cluster-uid; \
            else "unknown".
            """
        ),
        key(
            "admin.socket", \.adminSocket, default: "/run/podidentd/admin.sock",
            allowed: "an absolute path of at most 107 bytes", parse: { $0.utf8.count <= 107 ? path($0) : nil },
            "Unix socket of the debug commands, mode 0600."
        ),
        key(
            "metrics.address", \.metricsAddress, default: "127.0.0.1", allowed: "an IP address",
            parse: { address4($0) ?? address6($0) },
            "Where /metrics, /livez and /readyz are served, in plain HTTP and to everybody who can connect."
        ),
        key(
            "metrics.port", \.metricsPort, default: "9255", allowed: "a port from 0 to 65535, or off",
            parse: { $0 == "off" ? 0 : number(0...UInt16.max)($0) }, "Their port. 0 or off: they are not served."
        ),
        key(
            "audit.path", \.auditPath, default: "-", allowed: "an absolute path, - or off",
            parse: { $0 == "off" ? "" : $0 == "-" ? $0 : path($0) },
            """
            The file that gets a JSON line for every token minted and every denial; -: standard output. It may be \
            rotated by renaming it; SIGHUP opens it anew as well.
            """
        ),
        key(
            "security.seccomp", \.filtersSystemCalls, default: "true", allowed: "true or false",
            parse: { ["true": true, "false": false][$0] },
            """
            Whether the agent forbids itself every system call that it does not need. false: for finding out whether a \
            failure comes from that.
            """
        ),
        startupTaint,
        startupTaintTokenFile,
        spiffePort,
        spiffeSocket,
        spiffeMetadataPort,
        spiffeTrustDomain,
        spiffeSigner,
        spiffeAuthorities,
        spiffeAudience,
        spiffeBundleSeconds,
        key(
            "log.format", \.logFormat, default: "text", allowed: "text or json", parse: { LogFormat(rawValue: $0) },
            "How log records are written to standard error, one a line."
        ),
        key(
            "log.level", \.logLevel, default: "info",
            allowed: "one of trace, debug, info, notice, warning, error, critical",
            parse: { Logger.Level(rawValue: $0) }, "The least severe messages that are logged."
        ).reloadable(),
        key(
            "shutdown.drain-seconds", \.drainSeconds, default: "5", allowed: "a number from 0 to 300",
            parse: number(0...300), "How long requests in flight may take to finish when the agent is stopped."
        ),
    ]
}
