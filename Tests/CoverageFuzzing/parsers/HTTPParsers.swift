import NIOHTTP1

@testable import Attribution
@testable import GoogleMetadata
@testable import MetadataProtocol
@testable import Tokens
@testable import UpstreamHTTP

// Parsers of what pods ask the metadata server.

/// A target that is accepted has a canonical path, which reads as itself.
func requestTarget(_ bytes: [UInt8]) {
    guard let target = try? RequestTarget(parsing: String(decoding: bytes, as: UTF8.self)) else { return }
    precondition(!target.path.contains("//") && !target.path.contains("/../") && !target.path.contains("/./"))
    guard let again = try? RequestTarget(parsing: target.path) else { preconditionFailure("a path is refused") }
    precondition(again.path == target.path, "a path that reads as another")
}

private let room = GoogleMetadataRoom(
    GoogleMetadataConfiguration(
        projectID: "p", numericProjectID: 1, poolName: "pool", identityProvider: "//iam.googleapis.com/p",
        subjectTokenAudience: "a", podTokenAudiences: ["vault"]),
    besides: [],
    instance: {
        InstanceAttributes(
            id: 1, hostname: "h", name: "n", zone: "z", clusterName: "c", clusterLocation: "z", clusterUID: "u")
    })

private func accepted(_ method: HTTPMethod, _ uri: String, _ fields: [(String, String)]) -> (any RoomRequest)? {
    let head = HTTPRequestHead(version: .http1_1, method: method, uri: uri, headers: HTTPHeaders(fields))
    guard let target = try? RequestTarget(parsing: uri) else { return nil }
    return try? room.check(head, target)
}

private func isFieldName(_ name: String) -> Bool {
    !name.isEmpty && name.utf8.allSatisfy { (0x61...0x7a).contains($0 | 0x20) || $0 == UInt8(ascii: "-") }
}

/// A head that is accepted names the metadata server and says its flavor once. It is the same with its fields in another order and its
/// target in canonical form. Names that are none are the decoder's to refuse, which is not ours.
func requestHead(_ bytes: [UInt8]) {
    let lines = bytes.split(separator: UInt8(ascii: "\n")).map { String(decoding: $0, as: UTF8.self) }
    guard let words = lines.first?.split(separator: " ", maxSplits: 1), words.count == 2 else { return }
    let fields = lines.dropFirst().map { line -> (String, String) in
        let colon = line.firstIndex(of: ":") ?? line.endIndex
        return (String(line[..<colon]), String(line[colon...].dropFirst().drop { $0 == " " }))
    }
    guard fields.allSatisfy({ isFieldName($0.0) }) else { return }
    let (method, uri) = (HTTPMethod(rawValue: String(words[0])), String(words[1]))
    guard let request = accepted(method, uri, fields), let target = try? RequestTarget(parsing: uri) else { return }
    func values(_ name: String) -> [String] { fields.filter { $0.0.lowercased() == name }.map { $0.1 } }
    precondition(target.path == "/" || values("metadata-flavor") == ["Google"], "accepted without its flavor")
    let hosts = values("host").map { $0.lowercased() }
    precondition(
        hosts.count == 1 && ["metadata", "169.254.169.254", "fd20:ce::254"].contains { hosts[0].contains($0) },
        "accepted for another host")
    let canonical = target.path + (target.query.map { "?" + $0 } ?? "")
    guard let again = accepted(method, canonical, Array(fields.reversed())) else {
        preconditionFailure("refused in another order")
    }
    precondition(again.isEqual(to: request), "a request that reads as another")
}

/// The parameters of a query read the same when they are written again, and in another order.
func query(_ bytes: [UInt8]) {
    let text = String(decoding: bytes, as: UTF8.self)
    guard let fields = try? QueryParameters.fields(of: text) else { return }
    let parts = fields.map { PercentEncoding.encode($0.name) + "=" + PercentEncoding.encode($0.value) }
    guard let again = try? QueryParameters.fields(of: parts.joined(separator: "&")) else {
        preconditionFailure("parameters are refused that were read")
    }
    precondition(again.elementsEqual(fields) { $0.name == $1.name && $0.value == $1.value }, "a parameter changes")
    let read = try? RequestQuery(parsing: text)
    precondition((try? RequestQuery(parsing: parts.reversed().joined(separator: "&"))) == read, "the order counts")
    guard let read else { return }
    precondition((read.audience?.utf8.count ?? 0) <= 1_024 && (read.scopes?.sorted.count ?? 0) <= 128, "unbounded")
}

private let pods = ["00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002"].compactMap { text in
    PodUID(text)
}
private let sessions = SessionTokens(key: [UInt8](0..<32))
private let session = sessions.make(for: pods[0], seconds: SessionTokens.seconds.upperBound)

/// No text is a session token but those that were made, and none of these is another pod's. The input is taken for a token, and for a
/// change of one.
func sessionToken(_ bytes: [UInt8]) {
    let changed = zip(session.utf8, bytes + repeatElement(0 as UInt8, count: session.utf8.count)).map { $0 ^ $1 }
    for token in [bytes, changed].map({ String(decoding: $0, as: UTF8.self) }) where token != session {
        for pod in pods { precondition(!sessions.accepts(token, from: pod), "accepted, and never made") }
        precondition(sessions.remaining(of: token) >= .zero)
    }
    precondition(!sessions.accepts(session, from: pods[1]), "accepted from another pod")
}
