import KubernetesAPI
import Synchronization
import Testing

@testable import Signer

/// Requests that change while they are decided.
@Suite(.timeLimit(.minutes(10)))
struct PodCertificateDecisionTests {
    private static func request(_ version: String) -> PodCertificateRequest {
        PodCertificateRequest(
            metadata: PodCertificateRequest.Metadata(name: "r", namespace: "shop", uid: "u", resourceVersion: version),
            spec: PodCertificateRequest.Spec(
                signerName: "podidentd.io/spiffe", podName: "web-1", podUID: "pod-uid", serviceAccountName: "web",
                serviceAccountUID: "sa-uid", nodeName: "node-a", nodeUID: "node-uid", maxExpirationSeconds: 86_400,
                stubPKCS10Request: ""))
    }

    /// Decides version 1, which is shown as version 2 meanwhile, and returns the versions that were judged.
    private static func judged(
        _ writing: @escaping @Sendable (PodCertificateRequest) -> PodCertificateDecision.Writing
    ) async -> [String] {
        let underWay = RequestsUnderWay()
        let versions = Mutex<[String]>([])
        var decision = PodCertificateDecision(
            judge: { request in
                let version = request.metadata.resourceVersion ?? ""
                versions.withLock { $0.append(version) }
                if version == "1" { #expect(!underWay.begin(Self.request("2"), "u")) }
                return .denied(reason: "No", message: "no")
            }, write: { _, request in writing(request) }, log: SignatureLog { _ in })
        decision.patience = .zero
        #expect(underWay.begin(request("1"), "u"))
        await decision.decide(request("1"), "u", underWay)
        #expect(underWay.begin(request("3"), "u"), "nothing is under way any more")
        return versions.withLock { $0 }
    }

    @Test("a request that changed while nothing could be decided about it is decided as it is by then")
    func outOfPatience() async {
        let versions = await Self.judged { $0.metadata.resourceVersion == "1" ? .failed("no answer") : .written }
        #expect(versions == ["1", "2"])
    }

    @Test("a request that has changed before the decision was written is decided again")
    func superseded() async {
        let versions = await Self.judged { $0.metadata.resourceVersion == "1" ? .superseded : .written }
        #expect(versions == ["1", "2"])
    }

    @Test("a decision that was written ends it, also where the request was shown again meanwhile")
    func written() async {
        #expect(await Self.judged { _ in .written } == ["1"])
    }

    @Test("a request that stays open is left to the next list")
    func open() async {
        #expect(await Self.judged { _ in .failed("no answer") } == ["1", "2"])
    }
}
