import Attribution
import FoundationEssentials
import YAML

/// Reads the YAML of a kubeconfig; every error names the file, the key and what to do.
struct KubeconfigReader {
    let path: String
    let files: HostFiles

    func read(_ text: String) throws(KubernetesAPIError) -> Kubeconfig {
        let root = Section(path, "", try parse(text))
        guard let contextName = try root.string("current-context") else {
            throw root.error("current-context", "is not set; name one of the contexts in the file")
        }
        let context = try root.named(contextName, in: "contexts", as: "context")
        guard let clusterName = try context.string("cluster") else { throw context.error("cluster", "is not set") }
        guard let userName = try context.string("user") else { throw context.error("user", "is not set") }
        let cluster = try root.named(clusterName, in: "clusters", as: "cluster")
        let user = try root.named(userName, in: "users", as: "user")

        try cluster.refuse(["proxy-url"], "is not supported; the agent connects to the API server directly")
        if try cluster.flag("insecure-skip-tls-verify") {
            throw cluster.error(
                "insecure-skip-tls-verify",
                "is refused: the agent sends credentials only to a server that proves who it is; "
                    + "set certificate-authority instead"
            )
        }
        return Kubeconfig(
            path: path,
            server: try server(cluster),
            certificateAuthority: try source(cluster, "certificate-authority", inline: "certificate-authority-data"),
            clientCertificate: try clientCertificate(user),
            bearerToken: try bearerToken(user),
            plugin: try plugin(user),
            files: files
        )
    }

    /// The document. What ``YAML`` says about errors quotes no line: lines hold secrets.
    private func parse(_ text: String) throws(KubernetesAPIError) -> YAMLNode.Mapping {
        let document: YAMLNode?
        do throws(YAMLError) {
            document = try YAML.read(text)
        } catch {
            throw KubernetesAPIError(path, "is not YAML that the agent reads: \(error)")
        }
        guard let mapping = document?.mapping else {
            throw KubernetesAPIError(path, "is empty or no mapping; a kubeconfig has clusters, users and contexts")
        }
        return mapping
    }

    private func server(_ cluster: Section) throws(KubernetesAPIError) -> KubernetesServer {
        guard let text = try cluster.string("server") else { throw cluster.error("server", "is not set") }
        guard let url = URL(string: text), url.scheme?.lowercased() == "https", let urlHost = url.host(),
            !urlHost.isEmpty,
            url.user() == nil, url.password() == nil, url.query() == nil, url.fragment() == nil
        else {
            throw cluster.error("server", "must be an https URL with a host and without user, query and fragment")
        }
        let tlsServerName = try cluster.string("tls-server-name")
        if let tlsServerName, !Self.isServerName(tlsServerName) {
            throw cluster.error("tls-server-name", "must be a DNS name")
        }
        let urlPath = url.path()
        return KubernetesServer(
            host: urlHost.filter { $0 != "[" && $0 != "]" },
            port: url.port ?? 443,
            path: String(urlPath.reversed().drop { $0 == "/" }.reversed()),
            tlsServerName: tlsServerName
        )
    }

    /// Whether a certificate can be for `name`: no IPv4 address is.
    private static func isServerName(_ name: String) -> Bool {
        name.isHostName && name.contains(where: \.isLetter)
    }

    private func clientCertificate(_ user: Section) throws(KubernetesAPIError) -> Kubeconfig.ClientCertificate? {
        let chain = try source(user, "client-certificate", inline: "client-certificate-data")
        let key = try source(user, "client-key", inline: "client-key-data")
        switch (chain, key) {
        case (let chain?, let key?): return Kubeconfig.ClientCertificate(chain: chain, key: key)
        case (nil, nil): return nil
        case (_?, nil): throw user.error("client-key", "is not set, but client-certificate is; both are needed")
        case (nil, _?): throw user.error("client-certificate", "is not set, but client-key is; both are needed")
        }
    }

    /// A token, and the refusal of every way to authenticate that is not supported.
    private func bearerToken(_ user: Section) throws(KubernetesAPIError) -> Kubeconfig.Source? {
        try user.refuse(
            ["auth-provider"],
            "is not supported; give the agent a kubeconfig with a client certificate, a tokenFile or an exec plugin"
        )
        try user.refuse(["username", "password"], "is not supported by Kubernetes any more; use a client certificate")
        try user.refuse(
            ["as", "as-uid", "as-groups", "as-user-extra"], "is not supported: the agent must be the node itself"
        )
        // The order in which client-go prefers them.
        if let file = try user.string("tokenFile") { return .file(located(file)) }
        if let token = try user.string("token") { return .inline(Array(token.utf8)) }
        guard user.has("client-certificate") || user.has("client-certificate-data") || user.has("exec") else {
            throw user.error(
                nil, "has no credentials; set client-certificate and client-key, or tokenFile, or exec"
            )
        }
        return nil
    }

    /// A credential plugin. Beside another credential it is refused: which of the two is meant is not said.
    private func plugin(_ user: Section) throws(KubernetesAPIError) -> ExecPlugin? {
        guard let exec = try user.section("exec") else { return nil }
        let rivals = [
            "token", "tokenFile", "client-certificate", "client-certificate-data", "client-key", "client-key-data",
        ]
        if let rival = rivals.first(where: user.has) {
            throw user.error("exec", "stands beside \(rival); remove one of them")
        }
        guard let version = try exec.string("apiVersion").flatMap(ExecPlugin.Version.init) else {
            let known = ExecPlugin.Version.allCases.map(\.rawValue).joined(separator: " or ")
            throw exec.error("apiVersion", "must be \(known); the older v1alpha1 has gone from Kubernetes")
        }
        guard let command = try exec.string("command") else { throw exec.error("command", "is not set") }
        switch try exec.string("interactiveMode") {
        case "Never", "IfAvailable": break
        case nil where version == .v1beta1: break
        case "Always":
            throw exec.error(
                "interactiveMode", "is Always: the plugin asks for input on a terminal, and the agent has none")
        default: throw exec.error("interactiveMode", "must be Never or IfAvailable")
        }
        let variables = try exec.sections("env")
        var environment: [ExecPlugin.Variable] = []
        for variable in variables {
            guard let name = try variable.string("name"), !name.contains("="), !name.utf8.contains(0) else {
                throw variable.error("name", "must be a variable's name")
            }
            environment.append(ExecPlugin.Variable(name: name, value: try variable.string("value") ?? ""))
        }
        return ExecPlugin(
            version: version, command: command, arguments: try exec.strings("args"), environment: environment,
            providesClusterInfo: try exec.flag("provideClusterInfo")
        )
    }

    /// Inline data wins over a file, as it does in client-go.
    private func source(
        _ section: Section, _ key: String, inline dataKey: String
    ) throws(KubernetesAPIError) -> Kubeconfig.Source? {
        if let text = try section.string(dataKey) {
            guard let data = Data(base64Encoded: text, options: .ignoreUnknownCharacters), !data.isEmpty else {
                throw section.error(dataKey, "is not base64")
            }
            return .inline([UInt8](data))
        }
        return try section.string(key).map { .file(located($0)) }
    }

    private func located(_ file: String) -> String {
        if file.hasPrefix("/") { return files.located(file) }
        let folder = path.lastIndex(of: "/").map { path[...$0] } ?? "./"
        return folder + file
    }
}

/// One mapping of the file, and how errors name it.
private struct Section {
    private let file: String
    private let prefix: String
    private let mapping: YAMLNode.Mapping

    init(_ file: String, _ prefix: String, _ mapping: YAMLNode.Mapping) {
        self.file = file
        self.prefix = prefix
        self.mapping = mapping
    }

    func error(_ key: String?, _ problem: String) -> KubernetesAPIError {
        let name = key.map { prefix.isEmpty ? $0 : "\(prefix).\($0)" } ?? prefix
        return KubernetesAPIError(file, key: name, problem)
    }

    /// A null counts as absent.
    private func value(_ key: String) -> YAMLNode? {
        guard let node = mapping[key] else { return nil }
        return node.scalar?.isNull == true ? nil : node
    }

    func has(_ key: String) -> Bool { value(key) != nil }

    /// Text of a key; empty text counts as absent, as it does for kubectl.
    func string(_ key: String) throws(KubernetesAPIError) -> String? {
        guard let node = value(key) else { return nil }
        guard let text = node.scalar?.string else { throw error(key, "must be text") }
        return text.isEmpty ? nil : text
    }

    func flag(_ key: String) throws(KubernetesAPIError) -> Bool {
        switch try string(key) {
        case nil, "false": return false
        case "true": return true
        default: throw error(key, "must be true or false")
        }
    }

    /// The most entries that a list of texts or mappings may have.
    private static let listLimit = 64

    /// A mapping inside this one.
    func section(_ key: String) throws(KubernetesAPIError) -> Section? {
        guard let node = value(key) else { return nil }
        guard let inner = node.mapping else { throw error(key, "must be a mapping") }
        return Section(file, "\(prefix).\(key)", inner)
    }

    /// A list of mappings; absent counts as empty.
    func sections(_ key: String) throws(KubernetesAPIError) -> [Section] {
        try list(key).enumerated().map { index, node throws(KubernetesAPIError) in
            guard let inner = node.mapping else { throw error(key, "must be a list of mappings") }
            return Section(file, "\(prefix).\(key)[\(index)]", inner)
        }
    }

    /// A list of texts; absent counts as empty.
    func strings(_ key: String) throws(KubernetesAPIError) -> [String] {
        try list(key).map { node throws(KubernetesAPIError) in
            guard let text = node.scalar?.string, !text.utf8.contains(0) else {
                throw error(key, "must be a list of texts")
            }
            return text
        }
    }

    private func list(_ key: String) throws(KubernetesAPIError) -> [YAMLNode] {
        guard let node = value(key) else { return [] }
        guard let sequence = node.sequence, sequence.count <= Self.listLimit else {
            throw error(key, "must be a list of at most \(Self.listLimit)")
        }
        return sequence
    }

    func refuse(_ keys: [String], _ problem: String) throws(KubernetesAPIError) {
        for key in keys where has(key) { throw error(key, problem) }
    }

    /// The one entry of the list `list` whose name is `name`.
    func named(_ name: String, in list: String, as key: String) throws(KubernetesAPIError) -> Section {
        guard let entries = value(list)?.sequence else { throw error(list, "is not set, or no list") }
        let matches = entries.compactMap(\.mapping).filter { $0["name"]?.scalar?.string == name }
        let place = "\(list)[\(name)].\(key)"
        guard let match = matches.first else { throw error(list, "has no entry named \(name)") }
        guard matches.count == 1 else { throw error(list, "has two entries named \(name); remove one") }
        guard let mapping = match[key]?.mapping else { throw error(place, "is not set, or no mapping") }
        return Section(file, place, mapping)
    }
}
