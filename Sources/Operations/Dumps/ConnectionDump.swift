/// The open connections of this node's pods to the agent.
package struct ConnectionDump: Codable, Sendable, Equatable {
    package struct Pod: Codable, Sendable, Equatable {
        package var namespace: String?
        package var pod: String?
        /// `nil`: connections without an identity, all in one row.
        package var uid: String?
        /// Connections that the agent holds; `nil` if no agent answers.
        package var open: Int?
        /// The sockets at which the agent listens for the pod; `nil` if no agent answers.
        package var listeners: [Listener]?
        /// Connections that the kernel has redirected to the agent; `nil` if the pod's cgroup is not known.
        package var redirected: UInt64?
        /// Connections of those that reached the agent. Fewer by more than those under way: something drops them.
        package var arrived: UInt64?

        package init(
            namespace: String?, pod: String?, uid: String?, open: Int?, listeners: [Listener]?,
            redirected: UInt64? = nil, arrived: UInt64? = nil
        ) {
            self.namespace = namespace
            self.pod = pod
            self.uid = uid
            self.open = open
            self.listeners = listeners
            self.redirected = redirected
            self.arrived = arrived
        }
    }

    /// A listener of the agent's in a network namespace of a pod's.
    package struct Listener: Codable, Sendable, Equatable {
        /// The namespace's inode number, as `lsns` and `stat /proc/PID/ns/net` show it.
        package var networkNamespace: UInt32
        package var port: UInt16
        package var ipv4: Bool
        package var ipv6: Bool

        package init(networkNamespace: UInt32, port: UInt16, ipv4: Bool, ipv6: Bool) {
            self.networkNamespace = networkNamespace
            self.port = port
            self.ipv4 = ipv4
            self.ipv6 = ipv6
        }

        /// `4026532177:988`, with the family where there is only one.
        var text: String {
            "\(networkNamespace):\(port)" + (ipv4 == ipv6 ? "" : ipv4 ? " (IPv4)" : " (IPv6)")
        }
    }

    package struct Connection: Codable, Sendable, Equatable {
        package var namespace: String?
        package var pod: String?
        package var uid: String?
        /// `reading`, `idle`, `answering` or `closing`.
        package var state: String
        package var ageSeconds: Int
        /// Answers given on this connection.
        package var requests: UInt64
        /// The address that the caller named.
        package var destination: String
        /// The cgroup that the connecting task was in.
        package var cgroupID: UInt64

        package init(
            namespace: String?, pod: String?, uid: String?, state: String, ageSeconds: Int, requests: UInt64,
            destination: String, cgroupID: UInt64
        ) {
            self.namespace = namespace
            self.pod = pod
            self.uid = uid
            self.state = state
            self.ageSeconds = ageSeconds
            self.requests = requests
            self.destination = destination
            self.cgroupID = cgroupID
        }
    }

    package var node: String
    package var source: DumpSource
    package var pods: [Pod]
    package var connections: [Connection]

    package init(node: String, source: DumpSource, pods: [Pod], connections: [Connection]) {
        self.node = node
        self.source = source
        self.pods = pods.sorted {
            ($0.namespace ?? "~", $0.pod ?? "~", $0.uid ?? "~") < ($1.namespace ?? "~", $1.pod ?? "~", $1.uid ?? "~")
        }
        self.connections = connections.sorted {
            ($0.namespace ?? "~", $0.pod ?? "~", $0.uid ?? "~", -$0.ageSeconds)
                < ($1.namespace ?? "~", $1.pod ?? "~", $1.uid ?? "~", -$1.ageSeconds)
        }
    }

    package func filtered(by filter: CgroupFilter) -> ConnectionDump {
        var dump = self
        dump.pods = pods.filter { filter.matches(namespace: $0.namespace, pod: $0.pod, uid: $0.uid ?? "") }
        dump.connections = connections.filter { connection in
            filter.matches(namespace: connection.namespace, pod: connection.pod, uid: connection.uid ?? "")
                && (filter.cgroupID.map { $0 == connection.cgroupID } ?? true)
        }
        return dump
    }

    /// Counts by pod, then every connection.
    package func table(on terminal: Terminal = .plain) -> String {
        var counts = TextTable(columns: [
            .init("NAMESPACE", fit: .end), .init("POD", fit: .end), "UID", "OPEN", "LED", "ARRIVED",
            "LISTENS AT",
        ])
        for pod in pods {
            counts.append([
                pod.namespace ?? "-", pod.pod ?? "-", pod.uid ?? "(no identity)", pod.open.map(String.init) ?? "-",
                pod.redirected.map(String.init) ?? "-", pod.arrived.map(String.init) ?? "-",
                pod.listeners?.text ?? "-",
            ])
        }
        guard source == .agent else { return counts.text(on: terminal) }
        var list = TextTable(columns: [
            .init("NAMESPACE", fit: .end), .init("POD", fit: .end), "STATE", "AGE", "REQUESTS", "DESTINATION",
            "CGROUP ID",
        ])
        for connection in connections {
            list.append([
                connection.namespace ?? "-", connection.pod ?? connection.uid ?? "-", connection.state,
                DurationText.short(connection.ageSeconds), "\(connection.requests)", connection.destination,
                "\(connection.cgroupID)",
            ])
        }
        return counts.text(on: terminal) + "\n" + list.text(on: terminal)
    }
}

extension [ConnectionDump.Listener] {
    /// The place of each, or `nowhere`.
    package var text: String { isEmpty ? "nowhere" : map(\.text).joined(separator: ", ") }
}
