import NIOCore

@testable import Attribution
@testable import KubernetesAPI
@testable import MetadataProtocol
@testable import SpiffeWorkload
@testable import Tokens
@testable import UpstreamHTTP
@testable import YAML

// The agent's parsers of bytes that others write, under libFuzzer: see .ci/fuzz-coverage. An input's first byte chooses the parser.
// A rule that does not hold is a trap, as is any that the parser itself runs into.

private let roots = ["/kubepods", "/kubepods.slice", "/docker/0a1b/kubelet/kubepods"].compactMap { path in
    try? KubepodsRoot(path)
}

/// A path that is believed names the pod's UID, with one of the two separators, below its root.
private func cgroupPath(_ bytes: [UInt8]) {
    for root in roots {
        guard let parsed = root.parse(bytes) else { continue }
        precondition(bytes.starts(with: root.path), "believed outside of its root")
        let text = String(decoding: bytes, as: UTF8.self)
        let uid = parsed.uid.description
        let spellings = [uid, uid.replacing("-", with: "_"), uid.replacing("-", with: "")]
        precondition(spellings.contains { text.contains($0) }, "believed for a UID that it does not name")
    }
}

/// A target that is accepted has a canonical path, which reads as itself.
private func requestTarget(_ bytes: [UInt8]) {
    guard let target = try? RequestTarget(parsing: String(decoding: bytes, as: UTF8.self)) else { return }
    precondition(!target.path.contains("//") && !target.path.contains("/../") && !target.path.contains("/./"))
    guard let again = try? RequestTarget(parsing: target.path) else { preconditionFailure("a path is refused") }
    precondition(again.path == target.path, "a path that reads as another")
}

private func events(_ chunks: [[UInt8]]) -> [WatchEvent] {
    var reader = PodWatchReader(nodeName: "node-a", labels: ["a/b"])
    var events: [WatchEvent] = []
    for chunk in chunks where !reader.read(ByteBuffer(bytes: chunk), receive: { events.append($0) }) { break }
    return events
}

/// The events of a watch do not depend on how its bytes arrive.
private func watch(_ bytes: [UInt8]) {
    let cut = bytes.isEmpty ? 0 : Int(bytes[0]) % (bytes.count + 1)
    precondition(events([bytes]) == events([Array(bytes[..<cut]), Array(bytes[cut...])]), "a cut changes the events")
}

/// A kubeconfig is read, or refused.
private func kubeconfig(_ bytes: [UInt8]) {
    let text = String(decoding: bytes, as: UTF8.self)
    guard let config = try? KubeconfigReader(path: "kubelet.conf", files: HostFiles()).read(text) else { return }
    precondition(!config.server.host.isEmpty && config.server.baseURL.hasPrefix("https://"))
}

/// YAML that was read reads the same again as JSON. A key in quotes may have 1,024 characters: escapes can make it longer.
private func yaml(_ bytes: [UInt8]) {
    guard let node = try? YAML.read(String(decoding: bytes, as: UTF8.self)) else { return }
    guard let again = try? YAML.read(node.json) else {
        return precondition(node.json.utf8.count > 1_024, "JSON of YAML is refused")
    }
    precondition(again.json == node.json, "JSON of YAML reads as something else")
}

/// A message that is read reads the same when it is written again.
private func protobuf(_ bytes: [UInt8]) {
    guard let request = try? WorkloadMessages.tokenRequest(ByteBuffer(bytes: bytes)) else { return }
    var writer = ProtobufWriter()
    for audience in request.audience where !audience.isEmpty { writer.write(1, string: audience) }
    writer.write(2, string: request.spiffeID)
    let expected = WorkloadMessages.TokenRequest(
        audience: request.audience.filter { !$0.isEmpty }, spiffeID: request.spiffeID)
    precondition((try? WorkloadMessages.tokenRequest(writer.buffer)) == expected, "a message changes")
}

private struct Claims: Decodable {
    var sub: String?
    var aud: [String]?
}

/// Base64url has one spelling of each value; claims are read, or not.
private func jwt(_ bytes: [UInt8]) {
    let text = String(decoding: bytes, as: UTF8.self)
    for part in text.utf8.split(separator: UInt8(ascii: ".")) {
        let part = String(Substring(part))
        if let decoded = Base64URL.decode(part) { precondition(Base64URL.encode(decoded) == part, "two spellings") }
    }
    _ = JWTClaims.decode(Claims.self, from: text)
}

/// Credentials that are handed over read as they were written, or not at all.
private func handover(_ bytes: [UInt8]) {
    guard let held = HeldCredentials(parsing: bytes) else { return }
    let written = held.bytes
    precondition(HeldCredentials(parsing: written)?.bytes == written, "a hand-over changes")
}

private let parsers = [cgroupPath, requestTarget, watch, kubeconfig, yaml, protobuf, jwt, handover]

/// The function that libFuzzer calls with each input.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzerTestOneInput(_ data: UnsafePointer<UInt8>, _ size: Int) -> CInt {
    guard size > 0 else { return 0 }
    let bytes = unsafe [UInt8](UnsafeBufferPointer(start: data, count: size))
    parsers[Int(bytes[0]) % parsers.count](Array(bytes.dropFirst()))
    return 0
}
