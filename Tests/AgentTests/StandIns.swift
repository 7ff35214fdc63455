import Attribution
import KubernetesAPI
import Logging
import NIOCore
import NIOSSL
import UpstreamHTTP

extension KubernetesClient {
    /// A client whose calls reach nothing, for parts that want one and are not asked to call.
    static func unused() throws -> KubernetesClient {
        KubernetesClient(
            options: try KubernetesClientOptions(audience: "unused"), credentials: UnusedCredentials(),
            network: UnusedNetwork(), logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }
}

extension CallerTag {
    /// The tag of a process in the pod-level cgroup 7.
    static let ofTests = CallerTag(
        ancestors: InlineArray { $0 == 0 ? 7 : 0 }, leaf: CgroupID(rawValue: 7), networkNamespaceCookie: 1,
        socketCookie: 2, originalDestination: OriginalDestination(address: .ipv4(0xa9fe_a9fe), port: 80))
}

private struct UnusedCredentials: NodeCredentialSource {
    let server = KubernetesServer(host: "kubernetes.test", port: 443)

    var latest: NodeCredentials.Snapshot {
        NodeCredentials.Snapshot(generation: 1, tlsConfiguration: TLSConfiguration.makeClientConfiguration())
    }

    func current() async -> NodeCredentials.Snapshot { latest }
    func distrust() {}
}

private struct UnusedNetwork: UpstreamTransport {
    func answer(to call: UpstreamCall) async throws(TransportError) -> UpstreamResponse {
        throw TransportError(.connectionRefused)
    }

    func answer<Reader: UpstreamBodyReader>(
        to call: UpstreamCall, reader: Reader
    ) async throws(TransportError) -> UpstreamReading<Reader> {
        throw TransportError(.connectionRefused)
    }

    func stream(
        _ call: UpstreamCall, opened: () -> Void, chunk receive: (ByteBuffer) -> Bool
    ) async throws(TransportError) -> UpstreamStreamEnd {
        throw TransportError(.connectionRefused)
    }

    func shutdown() async {}
}
