package import Foundation
import NIOSSL
import SwiftASN1
import X509
import _CryptoExtras

/// The emulated Google as a server of its own, for a cluster outside of the lab: token service, IAM Credentials and
/// a bucket at one address, told apart by their paths.
package final class GoogleServer: Sendable {
    /// The facts that a cluster and its operator give.
    package struct Configuration: Sendable {
        /// A numeric address.
        package var host = "0.0.0.0"
        package var port = 8443
        package var certificate: LabPKI.Credential
        /// The provider that agents name, and the issuer of the cluster's ServiceAccount tokens.
        package var providerName: String
        package var issuer: String
        /// The issuer's keys, as `kubectl get --raw /openid/v1/jwks` prints them.
        package var keySet: Data

        package init(certificate: LabPKI.Credential, providerName: String, issuer: String, keySet: Data) {
            self.certificate = certificate
            self.providerName = providerName
            self.issuer = issuer
            self.keySet = keySet
        }
    }

    private let server: LabHTTPServer

    /// A server that does not listen yet.
    package init(_ configuration: Configuration) throws {
        let ledger = LabTokenLedger()
        let clock = LabClock()
        let tokens = SecurityTokenServiceEmulator(ledger: ledger, clock: clock)
        tokens.setProvider(
            WorkloadIdentityProvider(
                name: configuration.providerName, issuer: configuration.issuer,
                keys: try JSONWebKeySet(parsing: configuration.keySet)))
        let accounts = IAMCredentialsEmulator(ledger: ledger, signingKey: try RSASigningKey(), clock: clock)
        let storage = CloudStorageEmulator(ledger: ledger, clock: clock)
        let listening = LabHTTPServer.Configuration(
            host: configuration.host, port: configuration.port, tls: try NIOSSLContext.lab(configuration.certificate),
            clock: clock)
        server = LabHTTPServer(listening) { request in
            switch request.path {
            case "/v1/token": await tokens.handle(request)
            case let path where path.hasPrefix("/v1/projects/"): await accounts.handle(request)
            case "/healthz": .text(200, "ok")
            default: await storage.handle(request)
            }
        }
    }

    /// Listens.
    /// - Returns: The server's URL.
    package func start() async throws -> String { try await server.start() }

    package func stop() async { await server.stop() }
}

extension LabPKI.Credential {
    /// A credential that was made elsewhere.
    package init(certificatePEM: String, privateKeyPEM: String) throws {
        self.init(
            certificatePEM: certificatePEM, privateKeyPEM: privateKeyPEM,
            certificate: try Certificate(pemEncoded: certificatePEM))
    }
}

extension JSONWebKeySet {
    private struct Document: Decodable {
        struct Key: Decodable {
            var kty: String
            var kid: String
            var n: String
            var e: String
        }
        var keys: [Key]
    }

    /// Reads the RSA keys of a JSON Web Key Set (RFC 7517).
    package init(parsing json: Data) throws {
        let document = try JSONDecoder().decode(Document.self, from: json)
        var keys: [String: _RSA.Signing.PublicKey] = [:]
        for key in document.keys where key.kty == "RSA" {
            guard let modulus = Data(base64URL: key.n), let exponent = Data(base64URL: key.e) else {
                throw LabError("the key \(key.kid) is not base64url")
            }
            keys[key.kid] = try _RSA.Signing.PublicKey(n: modulus, e: exponent)
        }
        guard !keys.isEmpty else { throw LabError("the key set has no RSA key, and others are not emulated") }
        self.init(keys: keys)
    }
}
