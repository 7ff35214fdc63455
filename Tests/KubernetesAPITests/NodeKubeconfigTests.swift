import Foundation
import Testing
import UpstreamTesting

@testable import KubernetesAPI

@Suite("The node's kubeconfig, found")
struct NodeKubeconfigTests {
    @Test("each known place is found below the host's root, alone", arguments: NodeKubeconfig.places.map(\.path))
    func places(_ place: String) throws {
        let root = try temporaryFolder()
        defer { try? FileManager.default.removeItem(atPath: root) }
        try install(place, below: root)
        let config = try Kubeconfig.load(path: "", hostRoot: root)
        #expect(config.path == root + place)
        #expect(config.others.isEmpty)
        #expect(config.clientCertificate?.chain == .file(root + "/pki/c.pem"))
    }

    @Test("of several the first of the documented order is taken, and the others are told")
    func several() throws {
        let root = try temporaryFolder()
        defer { try? FileManager.default.removeItem(atPath: root) }
        for place in ["/etc/kubernetes/kubelet.conf", "/var/lib/rancher/k3s/agent/kubelet.kubeconfig"] {
            try install(place, below: root)
        }
        let found = try NodeKubeconfig.find(hostRoot: root)
        #expect(found.path == root + "/var/lib/rancher/k3s/agent/kubelet.kubeconfig")
        #expect(found.others == [root + "/etc/kubernetes/kubelet.conf"])
    }

    @Test("none is an error that lists where was looked")
    func none() throws {
        let root = try temporaryFolder()
        defer { try? FileManager.default.removeItem(atPath: root) }
        // A folder of that name is none.
        try FileManager.default.createDirectory(
            atPath: root + "/etc/kubernetes/kubelet.conf", withIntermediateDirectories: true)
        let error = #expect(throws: KubernetesAPIError.self) { try Kubeconfig.load(path: "", hostRoot: root) }
        let text = "\(try #require(error))"
        for place in NodeKubeconfig.places { #expect(text.contains(root + place.path) && text.contains(place.owner)) }
    }

    @Test("an absolute symbolic link of the node is followed within the host's root")
    func link() throws {
        let root = try temporaryFolder()
        defer { try? FileManager.default.removeItem(atPath: root) }
        try install("/var/snap/microk8s/7/credentials/kubelet.config", below: root)
        try FileManager.default.createSymbolicLink(
            atPath: root + "/var/snap/microk8s/current", withDestinationPath: "/var/snap/microk8s/7")
        #expect(try Kubeconfig.load(path: "", hostRoot: root).path.hasSuffix("/current/credentials/kubelet.config"))
    }

    private func install(_ path: String, below root: String) throws {
        let url = URL(filePath: root + path)
        try FileManager.default.createDirectory(at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
        try """
        current-context: x
        clusters: [{name: c, cluster: {server: "https://10.0.0.1:6443"}}]
        users: [{name: u, user: {client-certificate: /pki/c.pem, client-key: /pki/k.pem}}]
        contexts: [{name: x, context: {cluster: c, user: u}}]
        """.write(to: url, atomically: true, encoding: .utf8)
    }
}
