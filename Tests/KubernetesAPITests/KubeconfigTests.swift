import Foundation
import Testing
import UpstreamTesting

@testable import KubernetesAPI

@Suite("Kubeconfig")
struct KubeconfigTests {
    private func load(
        cluster: String = #"{server: "https://10.0.0.1:6443"}"#,
        user: String = "{client-certificate: /pki/c.pem, client-key: k.pem}",
        rest: String = "current-context: x",
        hostRoot: String = ""
    ) throws -> Kubeconfig {
        let folder = try temporaryFolder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let text = """
            \(rest)
            clusters: [{name: c, cluster: \(cluster)}]
            users: [{name: u, user: \(user)}, {name: other, user: {}}]
            contexts: [{name: x, context: {cluster: c, user: u}}]
            """
        try text.write(toFile: folder + "/kubelet.conf", atomically: true, encoding: .utf8)
        var config = try Kubeconfig.load(path: folder + "/kubelet.conf", hostRoot: hostRoot)
        config.path = "kubelet.conf"
        if case .file(let key)? = config.clientCertificate?.key, key.hasPrefix(folder) {
            config.clientCertificate?.key = .file("FOLDER" + key.dropFirst(folder.count))
        }
        return config
    }

    @Test("Relative paths are the kubeconfig's, absolute ones are the node's")
    func paths() throws {
        let config = try load(hostRoot: "/host/")
        #expect(config.server == KubernetesServer(host: "10.0.0.1", port: 6443))
        #expect(config.clientCertificate?.chain == .file("/host/pki/c.pem"))
        #expect(config.clientCertificate?.key == .file("FOLDER/k.pem"))
        #expect(config.certificateAuthority == nil)
        #expect(config.bearerToken == nil)
    }

    @Test("Inline data wins over files, and is never described")
    func inlineData() throws {
        let config = try load(
            cluster: "{server: 'https://[fd00::1]/k8s/', certificate-authority: a, certificate-authority-data: cGVt,"
                + " tls-server-name: kubernetes.default}",
            user: "{token: s3cret}"
        )
        #expect(config.certificateAuthority == .inline(Array("pem".utf8)))
        #expect(config.bearerToken == .inline(Array("s3cret".utf8)))
        #expect(config.server.baseURL == "https://kubernetes.default:443/k8s")
        #expect(config.server.description == "[fd00::1]:443")
        #expect(!"\(config)".contains("s3cret") && !"\(config)".contains("115"))
    }

    @Test("A token file is preferred to a token")
    func tokenFile() throws {
        #expect(try load(user: "{token: t, tokenFile: /t}").bearerToken == .file("/t"))
    }

    struct Refusal: CustomTestStringConvertible, Sendable {
        var cluster = #"{server: "https://10.0.0.1:6443"}"#
        var user = "{token: t}"
        var rest = "current-context: x"
        var key: String?
        var words: String
        var testDescription: String { words }
    }

    @Test(
        "What is wrong is named with its key and what to do",
        arguments: [
            Refusal(rest: "kind: Config", key: "current-context", words: "name one of the contexts"),
            Refusal(rest: "current-context: y", key: "contexts", words: "has no entry named y"),
            Refusal(cluster: "{}", key: "clusters[c].cluster.server", words: "is not set"),
            Refusal(cluster: "{server: 'http://a'}", key: "clusters[c].cluster.server", words: "must be an https URL"),
            Refusal(cluster: "{server: 'https://u:p@a'}", key: "clusters[c].cluster.server", words: "without user"),
            Refusal(cluster: "{server: [1]}", key: "clusters[c].cluster.server", words: "must be text"),
            Refusal(
                cluster: "{server: 'https://a', insecure-skip-tls-verify: true}",
                key: "clusters[c].cluster.insecure-skip-tls-verify",
                words: "set certificate-authority instead"
            ),
            Refusal(
                cluster: "{server: 'https://a', proxy-url: 'http://p'}",
                key: "clusters[c].cluster.proxy-url",
                words: "not supported"
            ),
            Refusal(
                cluster: "{server: 'https://a', tls-server-name: 10.0.0.1}",
                key: "clusters[c].cluster.tls-server-name",
                words: "DNS name"
            ),
            Refusal(
                cluster: "{server: 'https://a', certificate-authority-data: '*'}",
                key: "clusters[c].cluster.certificate-authority-data",
                words: "base64"
            ),
            Refusal(user: "{exec: {command: aws}}", key: "users[u].user.exec.apiVersion", words: "must be"),
            Refusal(user: "{auth-provider: {name: gcp}}", key: "users[u].user.auth-provider", words: "not supported"),
            Refusal(user: "{token: t, as: admin}", key: "users[u].user.as", words: "must be the node itself"),
            Refusal(user: "{client-key: k}", key: "users[u].user.client-certificate", words: "both are needed"),
            Refusal(user: "{client-certificate: k}", key: "users[u].user.client-key", words: "both are needed"),
            Refusal(user: "{token: ''}", key: "users[u].user", words: "has no credentials"),
            Refusal(rest: "current-context: x\nclusters: []", words: "key twice"),
            Refusal(rest: "current-context: x\n- token: s3cret", words: "is not YAML"),
        ]
    )
    func refusals(_ refusal: Refusal) throws {
        let error = #expect(throws: KubernetesAPIError.self) {
            try load(cluster: refusal.cluster, user: refusal.user, rest: refusal.rest)
        }
        #expect(error?.key == refusal.key)
        #expect(error?.problem.contains(refusal.words) == true, "\(error.map(String.init(describing:)) ?? "")")
        #expect(error?.description.contains("kubelet.conf") == true)
        #expect(error?.description.contains("s3cret") == false)
    }

    @Test("A file that is missing, a folder, or too large is refused by name")
    func files() throws {
        let folder = try temporaryFolder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        #expect(throws: KubernetesAPIError.self) { try Kubeconfig.load(path: folder + "/none") }
        #expect(throws: KubernetesAPIError(folder, "is not a regular file")) { try Kubeconfig.load(path: folder) }
        try Data(count: Kubeconfig.fileLimit + 1).write(to: URL(filePath: folder + "/large"))
        let error = #expect(throws: KubernetesAPIError.self) { try Kubeconfig.load(path: folder + "/large") }
        #expect(error?.problem.contains("at most") == true)
    }

    @Test("The node's links lead to the node's files, and loops come to an end")
    func links() throws {
        let root = try temporaryFolder()
        defer { try? FileManager.default.removeItem(atPath: root) }
        let manager = FileManager.default
        try manager.createDirectory(atPath: root + "/var/pki", withIntermediateDirectories: true)
        try "new".write(toFile: root + "/var/pki/2026.pem", atomically: true, encoding: .utf8)
        // As the kubelet writes it: absolute, as the node sees it.
        try manager.createSymbolicLink(atPath: root + "/var/pki/current.pem", withDestinationPath: "/var/pki/2026.pem")
        try manager.createSymbolicLink(atPath: root + "/lib", withDestinationPath: "var/./pki/../pki")
        try manager.createSymbolicLink(atPath: root + "/loop", withDestinationPath: "loop")
        try manager.createSymbolicLink(atPath: root + "/escape", withDestinationPath: "../../../../var/pki/2026.pem")
        let files = HostFiles(root: root)
        #expect(try files.read(files.located("/lib/current.pem"), limit: 3) == Array("new".utf8))
        #expect(try files.resolved(root + "/lib/current.pem") == root + "/var/pki/2026.pem")
        #expect(try files.resolved(root + "/escape") == root + "/var/pki/2026.pem")
        #expect(throws: KubernetesAPIError.self) { try files.resolved(root + "/loop") }
    }
}
