/// The part of a kubeconfig file that its current context selects: one API server and one way to authenticate.
///
/// Understood is what kubelets are given: certificate and key, or a bearer token, inline or in files, or a credential
/// plugin. What would change who we are or whom we trust and is not understood (impersonation, proxies, no verification)
/// is refused.
package struct Kubeconfig: Sendable, Hashable {
    /// Bytes that are in the kubeconfig itself, or in a file that may change under us.
    package enum Source: Sendable, Hashable, CustomStringConvertible {
        case inline([UInt8])
        /// The agent's path.
        case file(String)

        package var description: String {
            switch self {
            case .inline: "inline data"
            case .file(let path): path
            }
        }
    }

    package struct ClientCertificate: Sendable, Hashable {
        /// PEM: the leaf first.
        package var chain: Source
        /// PEM; the kubelet keeps it in the same file.
        package var key: Source
    }

    /// The path that it was read from.
    package var path: String
    package var server: KubernetesServer
    /// PEM; `nil`: the system's trust store.
    package var certificateAuthority: Source?
    package var clientCertificate: ClientCertificate?
    package var bearerToken: Source?
    /// Makes the credential; never together with the two above.
    package var plugin: ExecPlugin?
    /// Further kubeconfigs in known places, where this one was found by itself.
    package var others: [String] = []
    /// The place of the files that it names.
    package var files: HostFiles

    /// The largest kubeconfig and the largest certificate or token file that is read: far above any real one.
    package static let fileLimit = 1 << 20

    /// Reads the kubeconfig at the agent's `path`; an empty one is looked for in ``NodeKubeconfig/places``.
    ///
    /// Relative paths inside are relative to its folder. Absolute ones are the node's: `hostRoot`, where the node's root
    /// is mounted (such as `/host`), is put before them.
    package static func load(path: String, hostRoot: String = "") throws(KubernetesAPIError) -> Kubeconfig {
        guard !path.isEmpty else {
            let (found, others) = try NodeKubeconfig.find(hostRoot: hostRoot)
            var kubeconfig = try load(path: found, hostRoot: hostRoot)
            kubeconfig.others = others
            return kubeconfig
        }
        let files = HostFiles(root: hostRoot)
        let text = String(decoding: try files.read(path, limit: fileLimit), as: UTF8.self)
        return try KubeconfigReader(path: path, files: files).read(text)
    }
}

/// The address of a Kubernetes API server.
package struct KubernetesServer: Sendable, Hashable, CustomStringConvertible {
    /// A DNS name or an IP address, without brackets.
    package var host: String
    package var port: Int
    /// The path of its URL: empty, or one that begins with a slash and does not end with one.
    package var path: String
    /// The name that the server's certificate is for, if not `host`.
    package var tlsServerName: String?

    package init(host: String, port: Int, path: String = "", tlsServerName: String? = nil) {
        self.host = host
        self.port = port
        self.path = path
        self.tlsServerName = tlsServerName
    }

    /// The URL that paths of the API are appended to. It names the server as its certificate does.
    package var baseURL: String { "https://\(Self.bracketed(tlsServerName ?? host)):\(port)\(path)" }

    package var description: String { "\(Self.bracketed(host)):\(port)" }

    private static func bracketed(_ host: String) -> String {
        host.utf8.contains(UInt8(ascii: ":")) ? "[\(host)]" : host
    }
}
