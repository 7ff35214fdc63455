import Crypto
import Foundation
import KubernetesAPI
import SwiftASN1
import Testing
import Tokens
import X509
import _CryptoExtras

@testable import Signer
@testable import SpiffeIdentity

/// An API server that knows one pod.
private struct ScriptedFacts: PodCertificateFacts {
    var pod: PodFacts? = PodFacts(uid: "pod-uid", node: "node-a", serviceAccount: "web", phase: "Running")
    var account: String? = "sa-uid"
    var node: String? = "node-uid"
    var failure: UpstreamFailure?

    func podFacts(namespace: String, name: String) async throws(UpstreamFailure) -> PodFacts? {
        if let failure { throw failure }
        return namespace == "shop" && name == "web-1" ? pod : nil
    }

    func uid(ofServiceAccount name: String, in namespace: String) async throws(UpstreamFailure) -> String? { account }

    func uid(ofNode name: String) async throws(UpstreamFailure) -> String? { node }
}

/// The signer's decisions about PodCertificateRequests.
@Suite struct PodCertificateJudgeTests {
    private static let key = WorkloadKey()

    private static func good() throws -> PodCertificateRequest {
        PodCertificateRequest(
            metadata: PodCertificateRequest.Metadata(name: "r", namespace: "shop", uid: "u", resourceVersion: "5"),
            spec: PodCertificateRequest.Spec(
                signerName: "podidentd.io/spiffe", podName: "web-1", podUID: "pod-uid", serviceAccountName: "web",
                serviceAccountUID: "sa-uid", nodeName: "node-a", nodeUID: "node-uid", maxExpirationSeconds: 86_400,
                stubPKCS10Request: Data(try key.signingRequest()).base64EncodedString()))
    }

    private static func verdict(
        _ facts: ScriptedFacts = ScriptedFacts(), until end: Date = Date(timeIntervalSinceNow: 86_400 * 30),
        agent: String? = nil, _ change: (inout PodCertificateRequest) throws -> Void = { _ in }
    ) async throws -> (PodCertificateVerdict, TrustBundle) {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString).path
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let root = try TestAuthority(until: end)
        for part in ["authority", "token-keys"] {
            try FileManager.default.createDirectory(atPath: "\(folder)/\(part)", withIntermediateDirectories: true)
        }
        for (text, name) in [
            (try root.pem, "authority/tls.crt"), (root.key.pemRepresentation, "authority/tls.key"),
            (P256.Signing.PrivateKey().pemRepresentation, "token-keys/signing.key"),
        ] { try text.write(toFile: "\(folder)/\(name)", atomically: true, encoding: .utf8) }
        let keys = try SignerKeys(
            authority: folder + "/authority", tokenKeys: folder + "/token-keys", trustDomain: testDomain)
        var configuration = SignerConfiguration(
            trustDomain: testDomain, authorityFolder: "", tokenKeyFolder: "", serverFolder: "")
        configuration.agent = agent
        var request = try good()
        try change(&request)
        let judge = PodCertificateJudge(configuration, facts: facts)
        return (await judge.judge(request, keys: keys), keys.bundle)
    }

    private static func reason(
        _ facts: ScriptedFacts = ScriptedFacts(), _ change: (inout PodCertificateRequest) throws -> Void = { _ in }
    ) async throws -> String? {
        if case .denied(let reason, _) = try await verdict(facts, change).0 { reason } else { nil }
    }

    @Test("38: a request that fits is signed for the pod's ID, for as long as was asked, and refreshed at half of that")
    func issued() async throws {
        for seconds in [3600, 7200, 86_400, 7_862_400] {
            let (verdict, bundle) = try await Self.verdict { $0.spec.maxExpirationSeconds = seconds }
            guard case .issued(let certificate) = verdict else {
                Issue.record("\(verdict)")
                return
            }
            let chain = try CertificateChain.der(pem: try #require(certificate.status.certificateChain))
            let svid = try X509SVID(chain: chain, key: Self.key, id: testID, bundle: bundle)
            let times = [certificate.status.notBefore, certificate.status.notAfter, certificate.status.beginRefreshAt]
                .compactMap { $0.flatMap { try? Date($0, strategy: .iso8601) } }
            try #require(times.count == 3)
            #expect(times[0] == svid.notBefore && times[1] == svid.notAfter)
            // A day is this signer's longest; a certificate begins two minutes ago.
            #expect(times[1].timeIntervalSince(times[0]) == TimeInterval(min(seconds, 86_400)))
            #expect(abs(times[0].timeIntervalSinceNow) < 300)
            #expect(times[2].timeIntervalSince(times[0]) >= 600 && times[1].timeIntervalSince(times[2]) >= 600)
        }
    }

    @Test("what a node says of its pod and the API server does not confirm is denied")
    func mismatches() async throws {
        #expect(try await Self.reason { $0.spec.podUID = "other" } == "PodMismatch")
        #expect(try await Self.reason { $0.spec.podName = "other" } == "PodMismatch")
        #expect(try await Self.reason { $0.metadata.namespace = "other" } == "PodMismatch")
        #expect(try await Self.reason { $0.spec.nodeName = "node-b" } == "NodeMismatch")
        #expect(try await Self.reason { $0.spec.nodeUID = "other" } == "NodeMismatch")
        #expect(try await Self.reason { $0.spec.serviceAccountName = "admin" } == "ServiceAccountMismatch")
        #expect(try await Self.reason { $0.spec.serviceAccountUID = "other" } == "ServiceAccountMismatch")
        #expect(try await Self.reason(ScriptedFacts(pod: nil)) == "PodMismatch")
        #expect(try await Self.reason(ScriptedFacts(account: nil)) == "ServiceAccountMismatch")
        #expect(try await Self.reason(ScriptedFacts(node: nil)) == "NodeMismatch")
        var finished = ScriptedFacts()
        finished.pod?.phase = "Succeeded"
        #expect(try await Self.reason(finished) == "PodFinished")
    }

    @Test("37: another signer's name, annotations, weak keys, CSRs that say more, and lives out of bounds are denied")
    func requests() async throws {
        #expect(try await Self.reason { $0.spec.signerName = "kubernetes.io/kube-apiserver-client" } == "UnknownSigner")
        #expect(try await Self.reason { $0.spec.signerName = "podidentd.io/spiffe2" } == "UnknownSigner")
        #expect(
            try await Self.reason { $0.spec.unverifiedUserAnnotations = ["a.example/b": "c"] }
                == "InvalidUnverifiedUserAnnotations")
        for seconds in [nil, 0, -1, 3599, 7_862_401] {
            #expect(try await Self.reason { $0.spec.maxExpirationSeconds = seconds } == "InvalidMaxExpirationSeconds")
        }
        let rsa = try CertificateSigningRequest(
            version: .v1, subject: DistinguishedName(),
            privateKey: Certificate.PrivateKey(_RSA.Signing.PrivateKey(keySize: .bits2048)),
            attributes: CertificateSigningRequest.Attributes(), signatureAlgorithm: .sha256WithRSAEncryption)
        let weak = try rsa.serializeAsPEM().derBytes
        #expect(
            try await Self.reason { $0.spec.stubPKCS10Request = Data(weak).base64EncodedString() }
                == "UnsupportedKeyType")
        let named = try request(subject: try DistinguishedName { CommonName("admin") })
        var broken = try Self.key.signingRequest()
        broken[broken.count - 1] ^= 1
        let others = [nil, "", "?", Data(named).base64EncodedString(), Data(broken).base64EncodedString()]
        for text in others {
            #expect(try await Self.reason { $0.spec.stubPKCS10Request = text } == "InvalidStubPKCS10Request")
        }
    }

    @Test("certificates of the metadata server are for the agents' ServiceAccount alone")
    func serving() async throws {
        func verdict(_ agent: String?) async throws -> PodCertificateVerdict {
            try await Self.verdict(agent: agent) { $0.spec.signerName = "podidentd.io/node-serving" }.0
        }
        for agent in [nil, "shop/other", "other/web"] {
            guard case .denied("NotAnAgent", _) = try await verdict(agent) else {
                Issue.record("\(agent ?? "nobody")")
                continue
            }
        }
        guard case .issued(let certificate) = try await verdict("shop/web") else {
            Issue.record("the agent is refused")
            return
        }
        #expect(certificate.isServing)
        let der = try CertificateChain.der(pem: try #require(certificate.status.certificateChain))
        #expect(SpiffeID(certificate: der[0]) == nil, "it is no SVID")
    }

    @Test("an API server that does not answer, and an authority near its end, leave a request open")
    func pending() async throws {
        let down = UpstreamFailure(upstream: .kubernetes, kind: .unavailable, message: "down")
        guard case .pending(let reason) = try await Self.verdict(ScriptedFacts(failure: down)).0 else {
            Issue.record("decided")
            return
        }
        #expect(reason.contains("down"))
        guard case .pending = try await Self.verdict(until: Date(timeIntervalSinceNow: 1800)).0 else {
            Issue.record("signed for less than the API's least")
            return
        }
    }
}
