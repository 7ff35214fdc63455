import Crypto
import Foundation
import SwiftASN1
import Testing
import X509

@testable import Signer
@testable import SpiffeIdentity

/// The names in certificates besides the SPIFFE ID.
@Suite struct CertificateNamesTests {
    private static let pod = ReviewedPod(
        namespace: "shop", serviceAccount: "web", serviceAccountUID: "sa-uid", name: "web-1", uid: "pod-uid")

    private static func configuration(_ change: (inout SignerConfiguration) -> Void = { _ in }) -> SignerConfiguration {
        var configuration = SignerConfiguration(
            trustDomain: testDomain, authorityFolder: "", tokenKeyFolder: "", serverFolder: "")
        change(&configuration)
        return configuration
    }

    @Test("a subject is there only where it is asked for and each name fits, and then the SAN is not critical")
    func subjects() throws {
        #expect(Self.configuration().subject(of: Self.pod).isEmpty)
        let naming = Self.configuration { $0.namesSubject = true }
        let subject = naming.subject(of: Self.pod)
        #expect("\(subject)" == "CN=web,OU=shop,O=test.example")
        var long = Self.pod
        long.serviceAccount = String(repeating: "a", count: 65)
        #expect(naming.subject(of: long).isEmpty)
        let root = try TestAuthority()
        let key = WorkloadKey()
        let issued = try root.authority.sign(try key.signingRequest(), as: testID, subject: subject, for: 3600)
        _ = try X509SVID(chain: issued.chain, key: key, id: testID, bundle: root.bundle(testDomain))
        let leaf = try Certificate(derEncoded: issued.chain[0])
        #expect(leaf.subject == subject)
        #expect(leaf.extensions[oid: .X509ExtensionID.subjectAlternativeName]?.critical == false)
    }

    @Test("a certificate of the metadata server has its names and addresses, no URI, and is no client's")
    func metadataServer() throws {
        let root = try TestAuthority()
        let key = WorkloadKey()
        let issued = try root.authority.signMetadataServer(try key.signingRequest(), for: 3600)
        let leaf = try Certificate(derEncoded: issued.chain[0])
        let names = try leaf.extensions.subjectAlternativeNames.map { Array($0) } ?? []
        #expect(names.count == 4)
        #expect(names.prefix(2) == [.dnsName("metadata.google.internal"), .dnsName("metadata.goog")])
        #expect(try leaf.extensions.extendedKeyUsage.map { Array($0) } == [.serverAuth])
        #expect(SpiffeID(certificate: issued.chain[0]) == nil)
        #expect(throws: SpiffeError.self) {
            try X509SVID(chain: issued.chain, key: key, id: testID, bundle: root.bundle(testDomain))
        }
    }

    private struct Reviewer: TokenReviewing {
        func review(_ token: String, audience: String) async -> TokenVerdict { .pod(CertificateNamesTests.pod) }

        func attributes(
            _ wanted: ClaimConfiguration, of pod: ReviewedPod
        ) async throws(ExchangeRefusal) -> PodAttributes {
            PodAttributes(labels: ["tier": "web"], zone: "zone-a")
        }
    }

    @Test(
        "it is signed for the agents' ServiceAccount alone",
        arguments: [(nil, false), ("shop/other", false), ("other/web", false), ("shop/web", true)])
    func agents(agent: String?, isSigned: Bool) async throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString).path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let root = try TestAuthority()
        for (name, text) in [
            ("tls.crt", try root.pem), ("tls.key", root.key.pemRepresentation),
            ("signing.key", P256.Signing.PrivateKey().pemRepresentation),
        ] { try text.write(toFile: folder + "/" + name, atomically: true, encoding: .utf8) }
        let keys = try SignerKeys(authority: folder, tokenKeys: folder, trustDomain: testDomain)
        let exchange = Exchange(Self.configuration { $0.agent = agent }, reviewer: Reviewer())
        let request = ExchangeRequest(csr: try WorkloadKey().signingRequest(), serving: true)
        do {
            let outcome = try await exchange.exchange(request, token: "t", keys: keys)
            #expect(isSigned && outcome.isServing)
            let chain = try #require(outcome.answer.chainBytes)
            #expect(SpiffeID(certificate: chain[0]) == nil, "it is no SVID")
        } catch let refusal as ExchangeRefusal {
            #expect(!isSigned && refusal.status == 403)
        }
    }
}
