import NIOCore
import NIOHTTP1
import Text

@testable import AWSSecurityTokenService
@testable import KubernetesAPI
@testable import Tokens
@testable import UpstreamHTTP

// Parsers of what the API server and clouds answer.

private func events(_ chunks: [[UInt8]]) -> [WatchEvent] {
    var reader = PodWatchReader(nodeName: "node-a", labels: ["a/b"])
    var events: [WatchEvent] = []
    for chunk in chunks where !reader.read(ByteBuffer(bytes: chunk), receive: { events.append($0) }) { break }
    return events
}

/// The events of a watch do not depend on how its bytes arrive.
func watch(_ bytes: [UInt8]) {
    let cut = bytes.isEmpty ? 0 : Int(bytes[0]) % (bytes.count + 1)
    precondition(events([bytes]) == events([Array(bytes[..<cut]), Array(bytes[cut...])]), "a cut changes the events")
}

private struct Claims: Decodable {
    var sub: String?
    var aud: [String]?
}

/// Base64url has one spelling of each value; claims are read, or not.
func jwt(_ bytes: [UInt8]) {
    let text = String(decoding: bytes, as: UTF8.self)
    for part in text.utf8.split(separator: UInt8(ascii: ".")) {
        let part = String(Substring(part))
        if let decoded = Base64URL.decode(part) { precondition(Base64URL.encode(decoded) == part, "two spellings") }
    }
    _ = JWTClaims.decode(Claims.self, from: text)
}

/// The document of an element that has a name; `nil` if it, or one in it, has none.
private func document(_ element: XMLElement) -> [UInt8]? {
    guard !element.name.isEmpty else { return nil }
    var bytes = Array("<\(element.name)>".utf8)
    for byte in element.text.utf8 {
        switch byte {
        case UInt8(ascii: "&"): bytes += Array("&amp;".utf8)
        case UInt8(ascii: "<"): bytes += Array("&lt;".utf8)
        default: bytes.append(byte)
        }
    }
    for child in element.children {
        guard let child = document(child) else { return nil }
        bytes += child
    }
    return bytes + Array("</\(element.name)>".utf8)
}

/// An answer in XML reads the same when it is written again.
func xml(_ bytes: [UInt8]) {
    guard let element = XMLElement(document: bytes), let again = document(element) else { return }
    precondition(XMLElement(document: again) == element, "an element changes")
}

private func page(_ chunks: [[UInt8]]) -> PodPageReader {
    var reader = PodPageReader(nodeName: "node-a", labels: ["a/b"])
    for chunk in chunks where !reader.read(ByteBuffer(bytes: chunk)) { break }
    return reader
}

/// The pods of a list do not depend on how its bytes arrive.
func podPage(_ bytes: [UInt8]) {
    let (whole, cut) = (page([bytes]), page(halves(bytes)))
    precondition((whole.defect == nil) == (cut.defect == nil), "a cut makes a page")
    guard whole.defect == nil else { return }
    precondition(whole.pods == cut.pods && whole.skipped == cut.skipped, "a cut changes the pods")
    precondition(
        whole.metadata?.resourceVersion == cut.metadata?.resourceVersion
            && whole.metadata?.continue == cut.metadata?.continue, "a cut changes the page")
}

/// The text of an upstream fits on a line, and no `Retry-After` is longer than believed. The second line is the upstream's clock.
func upstreamWords(_ bytes: [UInt8]) {
    let text = UpstreamText.clean(bytes, limit: 64)
    precondition(text.utf8.count <= 64 && text.unicodeScalars.allSatisfy { $0.isVisible }, "no line of its length")
    let lines = bytes.split(separator: UInt8(ascii: "\n"), maxSplits: 1, omittingEmptySubsequences: false)
        .map { String(decoding: $0, as: UTF8.self) }
    var answer = UpstreamResponse(status: 429, headers: ["retry-after": lines[0]])
    if lines.count > 1 { answer.headers.add(name: "date", value: lines[1]) }
    let wait = answer.retryAfter(now: UnixInstant(seconds: 0)) ?? .zero
    precondition(wait >= .zero && wait <= UpstreamResponse.retryAfterLimit, "a wait beyond what is believed")
    _ = UnixInstant(rfc3339: lines[0])
}
