import FoundationEssentials
import Text
import Tokens
import UpstreamHTTP

/// The output of a credential plugin, after checking that it is one.
struct ExecCredential: Sendable, Equatable {
    var token: SecretToken?
    /// PEM, the leaf first; with ``key``.
    var certificate: [UInt8]?
    /// PEM. Redacted like a token.
    var key: SecretToken?
    /// `nil`: until the API server refuses it.
    var expires: UnixInstant?

    /// Parses the plugin's output strictly: the version that was asked for, a complete credential, and time left.
    ///
    /// No error quotes the output, for it holds the credential.
    init(parsing output: [UInt8], version: ExecPlugin.Version, now: UnixInstant) throws(KubernetesAPIError) {
        func problem(_ text: String) -> KubernetesAPIError { KubernetesAPIError("credential plugin's output", text) }
        guard let wire = try? JSONDecoder().decode(Wire.self, from: Data(output)) else {
            throw problem("is not the JSON of an ExecCredential")
        }
        guard wire.kind == "ExecCredential" else { throw problem("is of another kind than ExecCredential") }
        guard wire.apiVersion == version.rawValue else {
            throw problem("has another apiVersion than the \(version.rawValue) of the kubeconfig")
        }
        guard let status = wire.status else { throw problem("has no status") }
        func given(_ text: String?) -> String? { text.flatMap { $0.isEmpty ? nil : $0 } }
        let certificate = given(status.clientCertificateData)
        let key = given(status.clientKeyData)
        guard (certificate == nil) == (key == nil) else {
            throw problem("has only one of clientCertificateData and clientKeyData")
        }
        let token = given(status.token)
        guard token != nil || certificate != nil else {
            throw problem("has neither a token nor a client certificate in its status")
        }
        if let token, !isPlausibleToken(token) { throw problem("has a token that cannot be one") }
        if let text = status.expirationTimestamp {
            guard let instant = UnixInstant(rfc3339: text) else {
                throw problem("has an expirationTimestamp that is not RFC 3339")
            }
            guard instant > now else { throw problem("has expired already; are this node's clock and zone right?") }
            expires = instant
        }
        self.token = token.map { SecretToken($0) }
        self.certificate = certificate.map { Array($0.utf8) }
        self.key = key.map { SecretToken($0) }
    }

    private struct Wire: Decodable {
        var apiVersion: String
        var kind: String
        var status: Status?

        struct Status: Decodable {
            var expirationTimestamp: String?
            var token: String?
            var clientCertificateData: String?
            var clientKeyData: String?
        }
    }
}

/// The input of a plugin in `KUBERNETES_EXEC_INFO`.
struct ExecInfo: Encodable {
    var apiVersion: String
    var kind = "ExecCredential"
    var spec: Spec

    struct Spec: Encodable {
        var cluster: Cluster?
        var interactive = false
    }

    struct Cluster: Encodable {
        var server: String
        var tlsServerName: String?
        /// Base64 of PEM.
        var certificateAuthorityData: String?

        enum CodingKeys: String, CodingKey {
            case server
            case tlsServerName = "tls-server-name"
            case certificateAuthorityData = "certificate-authority-data"
        }
    }

    /// The cluster is described only if the kubeconfig wants it to be. Extensions of the kubeconfig are not passed on.
    init(_ plugin: ExecPlugin, server: KubernetesServer, authorityPEM: [UInt8]?) {
        apiVersion = plugin.version.rawValue
        spec = Spec(
            cluster: plugin.providesClusterInfo
                ? Cluster(
                    server: "https://\(server)\(server.path)", tlsServerName: server.tlsServerName,
                    certificateAuthorityData: authorityPEM.map { Data($0).base64EncodedString() }) : nil)
    }

    var json: String { String(decoding: SortedJSON.bytes(of: self), as: UTF8.self) }
}
