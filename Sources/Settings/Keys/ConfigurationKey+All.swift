import BPF
import KubernetesAPI
import Logging
import Operations
package import Tokens

/// The keys of the agent.
extension ConfigurationKey {
    /// Every key, in the order of the documentation, with the names and keys of the clouds beside Google.
    package static func all(clouds names: [CloudName], _ keys: [ConfigurationKey]) -> [ConfigurationKey] {
        own.flatMap { $0.name == policies.name ? [$0, servedClouds(among: names)] : [$0] } + keys
    }

    static let own: [ConfigurationKey] = [
        key(
            "node-name", \.nodeName, allowed: "a node's name", parse: text,
            "This node's name in Kubernetes (downward API: spec.nodeName)."
        ),
        podUID,
        policies,
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
            The metadata addresses. Pods' connections to their port 80 are redirected to the agent; DNS (53) and NTP (123) \
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
            (neither by BPF nor by nftables). Without it, pods with CAP_NET_RAW and sandboxed pods are not blocked.
            """
        ),
        key(
            "guard.mechanism", \.hostGuardMechanism, default: "auto", allowed: "one of auto, bpf, nftables",
            parse: { ["auto": HostGuard.Mechanism?.none, "bpf": .bpf, "nftables": .nftables][$0] },
            """
            How the guard of the node's network namespace is made: by BPF (Linux 6.4 and later) or by an nftables table \
            "inet podidentd" (any kernel). auto: BPF where the kernel has it. The nftables form knows no pods: those \
            that are allowed through to the machine's own metadata server are dropped as well. It reads no lists of \
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
            """
            Life of the pod-bound tokens. Google's access tokens live no longer than this token; the API server reads 3607 \
            as a year.
            """
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
        ).forGoogle(),
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
        optional(
            "google.exchanges-per-hour", \.exchangesPerHour, allowed: "a number from 1 to 10000000",
            parse: number(1...10_000_000),
            """
            Exchanges at google.sts-url that this node may count on: the project's quota divided by the nodes that share it, \
            such as 72 (6,000 a minute, 5,000 nodes). The agent then spaces its exchanges from its start, and makes more \
            only while none is refused: scale.md has figures. Default: it learns its share from refusals.
            """
        ),
        key(
            "google.project-id", \.projectID, allowed: "a project ID", parse: text,
            "project/project-id."
        ).forGoogle(),
        key(
            "google.project-number", \.projectNumber, allowed: "digits only", parse: number(1...UInt64.max),
            "project/numeric-project-id."
        ).forGoogle(),
        optional(
            "google.pool", \.poolName, allowed: "a pool's name", parse: text,
            "The account name of pods that impersonate no Google service account. Default: the pool named in google.provider."
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
        decoded(
            "admin.socket", \.adminSocket, default: "/run/podidentd/admin.sock",
            allowed: "an absolute path of at most 107 bytes, 93 of them in its directory",
            decode: { text throws(ConfigurationError) in try socketPath(text, besides: handoverSocketName) },
            "Unix socket of the debug commands, mode 0600."
        ),
        key(
            "metrics.address", \.metricsAddress, default: "127.0.0.1", allowed: "an IP address",
            parse: address,
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
            rotated by renaming it; SIGHUP opens it again as well.
            """
        ),
        key(
            "audit.labels", \.auditLabels, default: "", allowed: "a list of at most 16 keys of labels",
            parse: labelKeys,
            """
            The labels of pods that audit lines name, such as app.kubernetes.io/name, as far as a pod has them. They are \
            what the pod's author says of it, and prove nothing.
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
        spiffeCertificates,
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
