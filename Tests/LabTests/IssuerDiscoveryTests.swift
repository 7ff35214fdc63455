import Foundation
import NIOCore
import NIOHTTP1
import Testing

@testable import Lab

private let role = "arn:aws:iam::111122223333:role/reader"

/// AWS's STS and Entra ID without a network: they trust an issuer whose keys they find by its discovery document.
private struct DiscoveringClouds {
    let api: TestAPI
    let issuer: IssuerDiscovery
    let sts = AWSSecurityTokenServiceEmulator()
    let entra: EntraEmulator

    /// `change` rewrites what the issuer's server answers; `nil`: no server is there.
    init(change: @escaping @Sendable (String, LabResponse) -> LabResponse? = { $1 }) throws {
        let api = try TestAPI()
        api.emulator.allowAudience("*")
        self.api = api
        let bases = [apiAudience, "https://127.0.0.1:6443"]
        issuer = IssuerDiscovery(issuer: apiAudience) { url in
            guard let base = bases.first(where: { url.hasPrefix($0 + "/") }) else { return nil }
            let target = String(url.dropFirst(base.count))
            return change(target, await api.emulator.handle(LabRequest(method: "GET", target: target)))
        }
        sts.setProvider(issuer)
        sts.setRole(role, .init(subjects: ["system:serviceaccount:team-a:app"]))
        entra = EntraEmulator(issuer: issuer, signingKey: try Shared.keys.get().google)
        entra.add(.init(clientID: "c", tenant: "t", subject: "system:serviceaccount:team-a:app"))
    }

    func token(_ audience: String = "sts.amazonaws.com") async -> String {
        await api.mint(audiences: [audience]).token
    }

    /// The code of STS's answer; `nil`: credentials.
    func assume(_ token: String, extra: String = "") async -> String? {
        let body =
            "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=\(role)&RoleSessionName=team-a.app-a"
            + "&WebIdentityToken=\(token)\(extra)"
        let answer = await sts.handle(LabRequest(method: "POST", target: "/", body: ByteBuffer(string: body)))
        guard answer.status != 200, case .bytes(let bytes) = answer.body else { return nil }
        return String(buffer: bytes).firstMatch(of: /<Code>(.*)<\/Code>/).map { String($0.1) } ?? "no code"
    }

    /// The code of Entra's answer; `nil`: a token.
    func exchange(_ token: String) async -> Int64? {
        let body =
            "client_id=c&grant_type=client_credentials&scope=https://x/.default&client_assertion=\(token)"
            + "&client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        let answer = await entra.handle(
            LabRequest(method: "POST", target: "/t/oauth2/v2.0/token", body: ByteBuffer(string: body)))
        guard answer.status != 200, case .bytes(let bytes) = answer.body else { return nil }
        return (try? JSON(parsing: bytes.readableBytesView))?["error_codes"]?.array?.first?.integer ?? 0
    }
}

@Suite struct IssuerDiscoveryTests {
    @Test("keys are found by the discovery document, which is read without a credential, and only once")
    func found() async throws {
        let clouds = try DiscoveringClouds()
        #expect(await clouds.assume(clouds.token()) == nil)
        #expect(await clouds.assume(clouds.token()) == nil)
        #expect(await clouds.exchange(clouds.token(EntraEmulator.audience)) == nil)
        #expect(
            clouds.issuer.reads.events == [
                "\(apiAudience)/.well-known/openid-configuration", "https://127.0.0.1:6443/openid/v1/jwks",
            ])
        #expect(clouds.sts.log.events.map(\.subject.podUID) == ["p-app", "p-app"])
    }

    @Test("a token that another key signed is refused, under its own name and under the issuer's")
    func forged() async throws {
        let clouds = try DiscoveringClouds()
        let good = try #require(JSONWebToken(await clouds.token()))
        let other = try Shared.keys.get().google
        let ours = try Shared.keys.get().kubernetes.keyID
        for keyID in [nil, ours] {
            #expect(await clouds.assume(try other.sign(good.claims, keyID: keyID)) == "InvalidIdentityToken")
        }
        let claims = try #require(JSONWebToken(await clouds.token(EntraEmulator.audience))).claims
        #expect(await clouds.exchange(try other.sign(claims, keyID: ours)) == 5_000_320)
        #expect(await clouds.assume(clouds.token("somebody.else")) == "InvalidIdentityToken")
        #expect(await clouds.assume(clouds.token(), extra: "&RoleArn=\(role)") == "MalformedInput")
        #expect(clouds.sts.log.total == 0 && clouds.entra.log.total == 0)
    }

    @Test(
        "an issuer whose documents cannot be read or are another's verifies nothing",
        arguments: [
            ("\"issuer\":\"\(apiAudience)\"", "\"issuer\":\"https://other\""), ("RS256", "none"),
            ("https://127.0.0.1:6443", "http://127.0.0.1:6443"), ("https://127.0.0.1:6443", "https://gone.example"),
            ("\"kty\":\"RSA\"", "\"kty\":\"EC\""), ("\"use\":\"sig\"", "\"use\":\"enc\""), ("{", "["),
        ])
    func unreadable(text: (from: String, to: String)) async throws {
        let clouds = try DiscoveringClouds { [text] _, response in
            guard case .bytes(let bytes) = response.body else { return nil }
            return .text(response.status, String(buffer: bytes).replacing(text.from, with: text.to))
        }
        #expect(await clouds.assume(clouds.token()) == "IDPCommunicationError")
        #expect(await clouds.exchange(clouds.token(EntraEmulator.audience)) == 5_000_320)
    }

    @Test("an issuer that needs a credential for its documents verifies nothing")
    func notPublic() async throws {
        let clouds = try DiscoveringClouds { _, _ in .text(403, "Forbidden") }
        #expect(await clouds.assume(clouds.token()) == "IDPCommunicationError")
    }
}
