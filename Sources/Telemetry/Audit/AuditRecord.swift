import Operations

/// One line of the audit stream. The schema is documented in docs/operate/audit.md; a change that readers could trip over
/// gets a new ``version``.
package struct AuditRecord: Sendable, Equatable {
    static let version = 1

    enum Event: String, Sendable, CaseIterable {
        /// A token fetch ended.
        case mint
        /// The agent refused a request by itself.
        case refusal
        /// Lines before this one are missing.
        case lost
    }

    package enum Result: String, Sendable {
        case minted
        /// A final no.
        case denied
        /// An upstream that did not answer, or not usably: the next try may succeed.
        case failed
        /// A limit of the pod or the node is used up.
        case limited
    }

    /// The caller, as far as it is known.
    package struct Subject: Sendable, Hashable {
        var namespace: String?
        var pod: String?
        var uid: String?
        /// A label, from the cgroup's name.
        package var container: String?
        /// The pod-level cgroup.
        var cgroup: UInt64?
        var serviceAccount: String?
        /// The pod's labels of `audit.labels`.
        var labels: [String: String] = [:]

        package init(
            namespace: String? = nil, pod: String? = nil, uid: String? = nil, container: String? = nil,
            cgroup: UInt64? = nil, serviceAccount: String? = nil, labels: [String: String] = [:]
        ) {
            self.namespace = namespace
            self.pod = pod
            self.uid = uid
            self.container = container
            self.cgroup = cgroup
            self.serviceAccount = serviceAccount
            self.labels = labels
        }
    }

    /// The object of the request.
    package struct Object: Sendable, Hashable {
        /// `access_token`, `identity_token`, `pod_token`, `federated_token`, `service_account`, or a refused request's
        /// route class.
        var kind: String
        /// A Google service account's email; absent: the ServiceAccount itself.
        package var target: String?
        package var audience: String?
        var scopes: [String]?
    }

    var event: Event
    var time: String
    var node: String
    /// The node's zone; absent while it is not known.
    var zone: String?
    package var subject = Subject()
    package var object: Object?
    package var result: Result?
    /// A refusal's cause, or what an upstream's failure is, in snake case.
    package var reason: String?
    var upstream: String?
    var status: Int?
    /// The message in the upstream's words.
    package var message: String?
    package var tokenID: String?
    package var milliseconds: Int64?
    /// How often it happened; more than 1 in a line that stands for a minute's repetitions.
    var count = 1

    /// One JSON object and a newline.
    var line: String {
        var line = "{\"version\":\(Self.version)"
        func add(_ name: String, _ value: String?) {
            if let value { line += ",\"\(name)\":\(value)" }
        }
        func text(_ value: String?) -> String? { value.map(JSONText.string) }
        add("time", text(time))
        add("event", text(event.rawValue))
        add("node", text(node))
        add("zone", text(zone))
        add("namespace", text(subject.namespace))
        add("pod", text(subject.pod))
        add("podUid", text(subject.uid))
        add("containerId", text(subject.container))
        // As text: a 64-bit number does not survive readers that know only doubles.
        add("cgroupId", text(subject.cgroup.map { "\($0)" }))
        add("serviceAccount", text(subject.serviceAccount))
        add("labels", subject.labels.isEmpty ? nil : Self.object(subject.labels))
        add("kind", text(object?.kind))
        add("targetAccount", text(object?.target))
        add("audience", text(object?.audience))
        add("scopes", object?.scopes.map { "[" + $0.map(JSONText.string).joined(separator: ",") + "]" })
        add("result", text(result?.rawValue))
        add("reason", text(reason))
        add("upstream", text(upstream))
        add("status", status.map { "\($0)" })
        add("message", text(message))
        add("tokenId", text(tokenID))
        add("milliseconds", milliseconds.map { "\($0)" })
        add("count", "\(count)")
        return line + "}\n"
    }

    private static func object(_ texts: [String: String]) -> String {
        let members = texts.sorted { $0.key < $1.key }.map { "\(JSONText.string($0.key)):\(JSONText.string($0.value))" }
        return "{" + members.joined(separator: ",") + "}"
    }
}
