import NIOSSL
import Tokens
import UpstreamHTTP

/// The files that a kubeconfig names, and how credentials are made of them.
struct CredentialFiles {
    private let kubeconfig: Kubeconfig

    init(_ kubeconfig: Kubeconfig) {
        self.kubeconfig = kubeconfig
    }

    /// The present version of each file that is named.
    func versions() throws(KubernetesAPIError) -> [String: HostFiles.Version] {
        var versions: [String: HostFiles.Version] = [:]
        let sources = [
            kubeconfig.certificateAuthority, kubeconfig.clientCertificate?.chain, kubeconfig.clientCertificate?.key,
            kubeconfig.bearerToken,
        ]
        for case .file(let path)? in sources { versions[path] = try kubeconfig.files.version(of: path) }
        return versions
    }

    /// Makes credentials of the files and of what the plugin gave, if there is one.
    func load(
        generation: UInt64, plugin: ExecCredential? = nil
    ) throws(KubernetesAPIError) -> NodeCredentials.Snapshot {
        var tls = TLSConfiguration.makeClientConfiguration()
        // Every supported API server speaks 1.2; it is also the client library's default, stated because it matters.
        tls.minimumTLSVersion = .tlsv12
        var notAfter: UnixInstant?
        if let authority = kubeconfig.certificateAuthority {
            tls.trustRoots = .certificates(try certificates(authority))
        }
        if let client = plugin?.clientCertificate ?? kubeconfig.clientCertificate {
            let chain = try certificates(client.chain)
            guard let key = try? NIOSSLPrivateKey(bytes: try bytes(client.key), format: .pem) else {
                throw KubernetesAPIError("\(client.key)", "holds no readable PEM private key")
            }
            tls.certificateChain = chain.map { .certificate($0) }
            tls.privateKey = .privateKey(key)
            notAfter = chain.first.map { UnixInstant(seconds: Int64($0.notValidAfter)) }
            // Building a context is what compares the key with the certificate.
            guard (try? NIOSSLContext(configuration: tls)) != nil else {
                throw KubernetesAPIError("\(client.key)", "does not belong to the certificate in \(client.chain)")
            }
        }
        let token = if let token = plugin?.token { token } else { try bearerToken() }
        return NodeCredentials.Snapshot(
            generation: generation, tlsConfiguration: tls, bearerToken: token,
            notAfter: notAfter ?? plugin?.expires
        )
    }

    private func certificates(_ source: Kubeconfig.Source) throws(KubernetesAPIError) -> [NIOSSLCertificate] {
        guard let certificates = try? NIOSSLCertificate.fromPEMBytes(try bytes(source)), !certificates.isEmpty else {
            throw KubernetesAPIError("\(source)", "holds no readable PEM certificate")
        }
        return certificates
    }

    private func bearerToken() throws(KubernetesAPIError) -> SecretToken? {
        guard let source = kubeconfig.bearerToken else { return nil }
        let lines = String(decoding: try bytes(source), as: UTF8.self).split(whereSeparator: \.isWhitespace)
        guard lines.count == 1, let token = lines.first.map(String.init), isPlausibleToken(token) else {
            throw KubernetesAPIError("\(source)", "must hold one bearer token and nothing else")
        }
        return SecretToken(token)
    }

    private func bytes(_ source: Kubeconfig.Source) throws(KubernetesAPIError) -> [UInt8] {
        switch source {
        case .inline(let bytes): bytes
        case .file(let path): try kubeconfig.files.read(path, limit: Kubeconfig.fileLimit)
        }
    }
}

extension ExecCredential {
    /// Certificate and key as a kubeconfig would have them.
    fileprivate var clientCertificate: Kubeconfig.ClientCertificate? {
        guard let certificate, let key else { return nil }
        return Kubeconfig.ClientCertificate(chain: .inline(certificate), key: .inline(Array(key.exposed.utf8)))
    }
}
