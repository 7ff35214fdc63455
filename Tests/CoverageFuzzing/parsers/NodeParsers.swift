@testable import Attribution
@testable import KubernetesAPI
@testable import Tokens
@testable import YAML

// Parsers of what the node, its files and the agent before have written.

private let roots = ["/kubepods", "/kubepods.slice", "/docker/0a1b/kubelet/kubepods"].compactMap { path in
    try? KubepodsRoot(path)
}

/// A path that is believed names the pod's UID, with one of the two separators, below its root.
func cgroupPath(_ bytes: [UInt8]) {
    for root in roots {
        guard let parsed = root.parse(bytes) else { continue }
        precondition(bytes.starts(with: root.path), "believed outside of its root")
        let text = String(decoding: bytes, as: UTF8.self)
        let uid = parsed.uid.description
        let spellings = [uid, uid.replacing("-", with: "_"), uid.replacing("-", with: "")]
        precondition(spellings.contains { text.contains($0) }, "believed for a UID that it does not name")
    }
}

/// A kubeconfig is read, or refused.
func kubeconfig(_ bytes: [UInt8]) {
    let text = String(decoding: bytes, as: UTF8.self)
    guard let config = try? KubeconfigReader(path: "kubelet.conf", files: HostFiles()).read(text) else { return }
    precondition(!config.server.host.isEmpty && config.server.baseURL.hasPrefix("https://"))
}

/// YAML that was read reads the same again as JSON. A key in quotes may have 1,024 characters: escapes can make it longer.
func yaml(_ bytes: [UInt8]) {
    guard let node = try? YAML.read(String(decoding: bytes, as: UTF8.self)) else { return }
    guard let again = try? YAML.read(node.json) else {
        return precondition(node.json.utf8.count > 1_024, "JSON of YAML is refused")
    }
    precondition(again.json == node.json, "JSON of YAML reads as something else")
}

/// Credentials that are handed over read as they were written, or not at all.
func handover(_ bytes: [UInt8]) {
    guard let held = HeldCredentials(parsing: bytes) else { return }
    let written = held.bytes
    precondition(HeldCredentials(parsing: written)?.bytes == written, "a hand-over changes")
}
