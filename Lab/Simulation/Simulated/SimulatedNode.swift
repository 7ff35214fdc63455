import Attribution
import GoogleMetadata
import KubernetesAPI
import MetadataProtocol
import MetadataServer
import NIOHTTP1
import Tokens

/// A node: its cgroups, its kubelet, and the agent that runs on it.
final class SimulatedNode: CgroupPathResolving, @unchecked Sendable {
    let number: Int
    let kubelet: SimulatedKubelet
    /// `nil`: none runs now.
    var agent: SimulatedAgent?
    /// The one that is to take its place.
    var successor: SimulatedAgent?
    private var paths: [UInt64: [UInt8]] = [:]
    /// Tokens that pods of the node were served, by purpose, and what was audited: agents come and go.
    var ledger = NodeLedger()
    /// How long its machine has slept, a present sleep counted whole, and until when it sleeps.
    private(set) var slept = Duration.zero
    private(set) var sleepEnd: ContinuousClock.Instant?
    /// How far the node's calendar is ahead.
    var calendarOffset = Duration.zero
    /// Cgroup events that are not reported.
    var losesCgroupEvents = false

    init(number: Int) {
        self.number = number
        kubelet = SimulatedKubelet(node: number)
    }

    static let root = KubepodsRoot.defaults[0]
    static let policies = PolicyTable([
        PolicyRule(.deny, labels: try? LabelSelector("credentials=none"))
    ])
    static let limits = MetadataServerLimits()
    static let google = GoogleMetadataConfiguration(
        projectID: "simulation", numericProjectID: 1, poolName: "simulation.svc.id.goog",
        identityProvider: World.provider, subjectTokenAudience: World.subjectAudience,
        podTokenAudiences: [World.podTokenAudience])

    static let instance = InstanceAttributes(
        id: 1, hostname: "node.simulation", name: "node", zone: "zone-a", clusterName: "simulation",
        clusterLocation: "zone-a", clusterUID: "simulation")

    // MARK: Sleep

    func sleep(for length: Duration, at now: ContinuousClock.Instant) {
        slept += length
        sleepEnd = now + length
    }

    /// How much longer the machine sleeps; `nil` while it runs.
    func sleepLeft(at now: ContinuousClock.Instant) -> Duration? {
        guard let sleepEnd, now < sleepEnd else { return nil }
        return sleepEnd - now
    }

    // MARK: Cgroups

    func path(of id: CgroupID) -> [UInt8]? { paths[id.rawValue] }

    func cgroups() -> [(CgroupID, [UInt8])] {
        paths.sorted { $0.key < $1.key }.map { (CgroupID(rawValue: $0.key), $0.value) }
    }

    var cgroupCount: Int { paths.count }

    func make(_ id: CgroupID, at path: [UInt8]) {
        paths[id.rawValue] = path
        for agent in followers { agent.made(id, path) }
    }

    func remove(_ id: CgroupID) {
        paths[id.rawValue] = nil
        for agent in followers { agent.removed(id) }
    }

    /// The agents that the kernel reports cgroups to now.
    private var followers: [SimulatedAgent] { losesCgroupEvents ? [] : [agent, successor].compactMap { $0 } }

    /// Events were lost: the kernel says so, and the agent looks itself.
    func reportLoss() {
        losesCgroupEvents = false
        for agent in followers { agent.walk() }
    }

    /// The kernel's note about a connection of the pod's.
    func tag(of pod: SimulatedPod) -> CallerTag {
        let depth = pod.path.count { $0 == UInt8(ascii: "/") } - Self.root.path.count { $0 == UInt8(ascii: "/") }
        var ancestors: InlineArray<5, UInt64> = [0, 0, 0, 0, 0]
        for level in 0..<(depth - 1) { ancestors[level] = UInt64(16 + level) }
        ancestors[depth - 1] = pod.cgroup.rawValue
        ancestors[depth] = pod.container.rawValue
        return CallerTag(
            ancestors: ancestors, leaf: pod.container, networkNamespaceCookie: UInt64(pod.index + 1),
            socketCookie: UInt64(pod.index + 1),
            originalDestination: OriginalDestination(address: .ipv4(0xa9fe_a9fe), port: 80))
    }

    /// The group cgroups between kubepods and its pods, which are there from the beginning.
    func makeGroups() {
        make(CgroupID(rawValue: 16), at: Self.root.path + Array("/burstable".utf8))
    }
}

/// A request of a pod's client.
struct ClientRequest {
    enum Kind: Equatable, CustomStringConvertible {
        case access(scopes: String?)
        case identity(audience: String)
        case podToken
        case email

        /// The name in the trace. A mirror would make the same text, slowly.
        var description: String {
            switch self {
            case .access(nil): "access(scopes: nil)"
            case .access(let scopes?): "access(scopes: Optional(\"\(scopes)\"))"
            case .identity(let audience): "identity(audience: \"\(audience)\")"
            case .podToken: "podToken"
            case .email: "email"
            }
        }
    }

    var kind: Kind
    /// Whether it must succeed: the world is at rest, and the pod can have its identity.
    var mustSucceed = false
    /// Whether the agent spaced the calls that it takes when it was sent.
    var isSpaced = false

    var isCredential: Bool { kind != .email }

    var head: HTTPRequestHead {
        let base = "/computeMetadata/v1/instance/service-accounts/default/"
        let target =
            switch kind {
            case .access(let scopes): base + "token" + (scopes.map { "?scopes=\($0)" } ?? "")
            case .identity(let audience): base + "identity?audience=\(audience)"
            case .podToken: "\(OwnPath.podToken)?audience=\(World.podTokenAudience)"
            case .email: base + "email"
            }
        return HTTPRequestHead(
            version: .http1_1, method: .GET, uri: target,
            headers: ["host": "metadata.google.internal", "metadata-flavor": "Google"])
    }

    /// The name under which tokens and audit lines of this kind meet.
    func purpose(_ pod: PodUID, _ grant: Grant) -> String {
        switch kind {
        case .access: "\(pod) access_token \(grant.email ?? "")"
        case .identity(let audience): "\(pod) identity_token \(grant.email ?? "") \(audience)"
        case .podToken: "\(pod) pod_token"
        case .email: "\(pod) email"
        }
    }
}
