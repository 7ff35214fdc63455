import Foundation
import Tokens
import UpstreamTesting

@testable import GoogleTokenExchange

let testProvider = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/k"
let testSubject = SubjectToken(token: SecretToken(testJWT(#"{"sub":"pod"}"#)), lifetime: .seconds(3600))
let testFederated = UpstreamToken(token: SecretToken("ya29.d.federated"), lifetime: .seconds(3000))
let testAccount = "app@my-project.iam.gserviceaccount.com"

/// Runs `call` against a server that gives `reply`; returns what came of it and the requests.
func outcome(
    of reply: @escaping @Sendable () -> ScriptedReply,
    timeout: Duration = .seconds(60),
    _ call: @escaping @Sendable (GoogleTokenService) async throws(UpstreamFailure) -> UpstreamToken
) async throws -> (Result<UpstreamToken, UpstreamFailure>, [ScriptedRequest]) {
    let authority = try TestAuthority()
    let folder = try temporaryFolder()
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try authority.certificatePEM.write(toFile: folder + "/ca.pem", atomically: true, encoding: .utf8)
    return try await ScriptedServer.serve(tls: authority.serverConfiguration()) { _ in
        reply()
    } body: { server in
        var configuration = GoogleTokenService.Configuration(audience: testProvider, version: "1.2")
        configuration.stsURL = server.url + "/v1/token"
        configuration.iamCredentialsURL = server.url
        configuration.trustRootsPath = folder + "/ca.pem"
        configuration.callTimeout = timeout
        let exchange = try GoogleTokenService(configuration)
        let result: Result<UpstreamToken, UpstreamFailure>
        do throws(UpstreamFailure) { result = .success(try await call(exchange)) } catch { result = .failure(error) }
        await exchange.shutdown()
        return (result, server.requests)
    }
}

extension Result {
    var failure: Failure? {
        if case .failure(let error) = self { error } else { nil }
    }
}

/// A refusal of Google's, and what it must become.
struct Refusal: Sendable, CustomStringConvertible {
    var status: Int
    var body: String
    var kind: UpstreamFailure.Kind
    var message: String
    var description: String { "\(status) \(body.prefix(60))" }
}
