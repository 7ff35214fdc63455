import KubernetesAPI
import NIOSSL
import Synchronization
import Tokens
import UpstreamHTTP
import VirtualTime

/// A node's kubelet as far as its credentials go: it renews them, and old ones end.
final class SimulatedKubelet: Sendable {
    private struct State {
        var generation: UInt64 = 1
        /// Whether the API server refuses all of them.
        var areExpired = false
    }

    private let node: Int
    private let state = Mutex(State())

    init(node: Int) { self.node = node }

    /// A token in the form of a JWT, so that the world knows it for a credential wherever it turns up.
    private func token(_ generation: UInt64) -> String { "eyJhbGciOiJub25lIn0.node-\(node).\(generation)" }

    var generation: UInt64 { state.withLock { $0.generation } }

    func token() -> String { token(generation) }

    /// Whether the API server takes the header: the present credential alone.
    func accepts(_ header: String) -> Bool {
        state.withLock { !$0.areExpired && header == "Bearer \(token($0.generation))" }
    }

    func rotate() { state.withLock { $0.generation += 1 } }

    func expire(_ areExpired: Bool) { state.withLock { $0.areExpired = areExpired } }
}

/// The node's credentials as one agent sees them: at most a second old, or read again where they were refused.
final class SimulatedCredentials: NodeCredentialSource {
    private struct State {
        var snapshot: NodeCredentials.Snapshot
        var nextCheck: ContinuousClock.Instant
    }

    private let kubelet: SimulatedKubelet
    private let timeline: Timeline
    private let state: Mutex<State>
    private static let tls = TLSConfiguration.makeClientConfiguration()

    init(_ kubelet: SimulatedKubelet, _ timeline: Timeline) {
        self.kubelet = kubelet
        self.timeline = timeline
        state = Mutex(State(snapshot: Self.snapshot(kubelet), nextCheck: timeline.now + .seconds(1)))
    }

    let server = KubernetesServer(host: "kubernetes.simulation", port: 443)

    private static func snapshot(_ kubelet: SimulatedKubelet) -> NodeCredentials.Snapshot {
        NodeCredentials.Snapshot(
            generation: kubelet.generation, tlsConfiguration: tls, bearerToken: SecretToken(kubelet.token()))
    }

    var latest: NodeCredentials.Snapshot { state.withLock { $0.snapshot } }

    func current() async -> NodeCredentials.Snapshot {
        let now = timeline.now
        return state.withLock { state in
            if state.nextCheck <= now {
                state.nextCheck = now + .seconds(1)
                state.snapshot = Self.snapshot(kubelet)
            }
            return state.snapshot
        }
    }

    func distrust() {
        let now = timeline.now
        state.withLock { $0.nextCheck = now }
    }
}
