import Crypto
import Foundation
import SwiftASN1
import Testing
import X509
import _CryptoExtras

@testable import Signer
@testable import SpiffeIdentity

/// The requests that the authority signs, and those that it refuses.
@Suite struct SigningAuthorityTests {
    @Test("an SVID has the one profile that every client takes, and leads to its authority")
    func profile() throws {
        let root = try TestAuthority()
        let key = WorkloadKey()
        let issued = try root.authority.sign(try key.signingRequest(), as: testID, for: 3600)
        let svid = try X509SVID(chain: issued.chain, key: key, id: testID, bundle: root.bundle(testDomain))
        #expect(svid.chain.count == 1, "the root is not in the chain")
        let leaf = try Certificate(derEncoded: issued.chain[0])
        #expect(leaf.subject.isEmpty)
        let names = try #require(leaf.extensions[oid: .X509ExtensionID.subjectAlternativeName])
        #expect(names.critical)
        #expect(
            try leaf.extensions.subjectAlternativeNames.map { Array($0) } == [
                .uniformResourceIdentifier("spiffe://test.example/ns/shop/sa/web")
            ])
        let usage = try #require(leaf.extensions[oid: .X509ExtensionID.keyUsage])
        #expect(usage.critical)
        #expect(try leaf.extensions.keyUsage == KeyUsage(digitalSignature: true))
        #expect(leaf.extensions[oid: .X509ExtensionID.basicConstraints]?.critical == true)
        let extended = try #require(try leaf.extensions.extendedKeyUsage)
        #expect(Set(extended) == [.serverAuth, .clientAuth])
        #expect((115...125).contains(-leaf.notValidBefore.timeIntervalSinceNow))
        #expect((3598...3601).contains(leaf.notValidAfter.timeIntervalSinceNow))
    }

    @Test("an intermediate goes into the chain, and its root into the bundle alone")
    func intermediate() throws {
        let root = try TestAuthority()
        let (chain, keyPEM) = try root.intermediate()
        let authority = try SigningAuthority(chainPEM: chain, keyPEM: keyPEM)
        let key = WorkloadKey()
        let issued = try authority.sign(try key.signingRequest(), as: testID, for: 3600)
        #expect(issued.chain.count == 2 && !issued.chain.contains(root.der))
        _ = try X509SVID(chain: issued.chain, key: key, id: testID, bundle: root.bundle(testDomain))
        #expect(throws: SpiffeError("no authority of the bundle has issued the chain")) {
            try X509SVID(chain: [issued.chain[0]], key: key, id: testID, bundle: root.bundle(testDomain))
        }
    }

    @Test("a request that has a subject, attributes, a weak key or a wrong signature is refused")
    func requests() throws {
        let root = try TestAuthority()
        var cases: [(String, [UInt8])] = [("is none", [1, 2, 3]), ("is none", [])]
        cases.append(("must be empty", try request(subject: try DistinguishedName { CommonName("web") })))
        let attribute = try CertificateSigningRequest.Attributes([
            .init(ExtensionRequest(extensions: .init { SubjectAlternativeNames([.dnsName("bank.example")]) }))
        ])
        cases.append(("must be empty", try request(attributes: attribute)))
        var forged = try request()
        forged[forged.count - 1] ^= 1
        cases.append(("is not signed with its key", forged))
        let weak = try CertificateSigningRequest(
            version: .v1, subject: DistinguishedName(),
            privateKey: Certificate.PrivateKey(try _RSA.Signing.PrivateKey(keySize: .bits2048)), attributes: .init(),
            signatureAlgorithm: .sha256WithRSAEncryption)
        var serializer = DER.Serializer()
        try serializer.serialize(weak)
        cases.append(("none of EC P-256, P-384 and P-521", serializer.serializedBytes))
        for (words, bytes) in cases {
            let error = #expect(throws: SpiffeError.self) {
                try root.authority.sign(bytes, as: testID, for: 3600)
            }
            #expect(error?.description.contains(words) == true, "\(words): \(error?.description ?? "signed")")
        }
    }

    @Test("nothing outlives the authority, and one that ends within a minute signs nothing")
    func lifetime() throws {
        let end = Date(timeIntervalSinceNow: 1800)
        let root = try TestAuthority(until: end)
        let issued = try root.authority.sign(try WorkloadKey().signingRequest(), as: testID, for: 86_400)
        #expect(abs(issued.notAfter.timeIntervalSince(end)) < 1)
        let ended = try TestAuthority(until: Date(timeIntervalSinceNow: 30))
        #expect(throws: SpiffeError.self) {
            try ended.authority.sign(try WorkloadKey().signingRequest(), as: testID, for: 86_400)
        }
    }

    @Test("a key of another certificate, and a certificate that may not sign, are no authority")
    func authorities() throws {
        let root = try TestAuthority()
        #expect(throws: SpiffeError("the authority's key is not that of its certificate")) {
            try SigningAuthority(
                chainPEM: try root.pem, keyPEM: P256.Signing.PrivateKey().pemRepresentation)
        }
        #expect(throws: SpiffeError("the authority's certificate may not sign certificates")) {
            try TestAuthority(isAuthority: false)
        }
    }
}

/// The answers of a signer that the agent refuses.
@Suite struct X509SVIDTests {
    @Test("a certificate for another key or ID, without its issuer, expired or of another profile is refused")
    func refusals() throws {
        let root = try TestAuthority()
        let other = try TestAuthority(name: "other root")
        let key = WorkloadKey()
        let good = try root.authority.sign(try key.signingRequest(), as: testID, for: 3600).chain
        let bundle = root.bundle(testDomain)
        func words(_ body: () throws -> X509SVID) -> String {
            do {
                _ = try body()
                return "accepted"
            } catch {
                return "\(error)"
            }
        }
        #expect(words { try X509SVID(chain: good, key: key, id: testID, bundle: bundle) } == "accepted")
        #expect(
            words { try X509SVID(chain: good, key: WorkloadKey(), id: testID, bundle: bundle) }
                == "the certificate is for another key")
        let foreign = SpiffeID("spiffe://test.example/ns/shop/sa/other")!
        #expect(
            words { try X509SVID(chain: good, key: key, id: foreign, bundle: bundle) }
                == "the certificate is for another SPIFFE ID")
        #expect(
            words { try X509SVID(chain: good, key: key, id: testID, bundle: other.bundle(testDomain)) }
                == "no authority of the bundle has issued the chain")
        #expect(
            words { try X509SVID(chain: [], key: key, id: testID, bundle: bundle) }
                == "the chain is not made of certificates")
        #expect(
            words { try X509SVID(chain: [good[0], other.der], key: key, id: testID, bundle: bundle) }
                == "the chain is not one")
        let late = Date(timeIntervalSinceNow: 7200)
        #expect(
            words { try X509SVID(chain: good, key: key, id: testID, bundle: bundle, now: late) }
                == "a certificate of the chain is not valid now")
    }

    @Test("a key prints nothing of itself")
    func secrecy() {
        let key = WorkloadKey()
        var text = ""
        dump(key, to: &text)
        for text in ["\(key)", String(reflecting: key), text] {
            #expect(!text.contains("P256") && text.contains("redacted"), "\(text)")
        }
    }
}
