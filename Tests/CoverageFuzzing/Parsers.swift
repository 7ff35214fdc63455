/// Feeds parsers that meet hostile bytes to libFuzzer. The first byte chooses the parser; what each must keep is said there.
///
/// Compiled with the parsers' own sources into one module: see `.ci/fuzz-coverage`.
@_cdecl("LLVMFuzzerTestOneInput")
public func tryInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let bytes = unsafe Array(UnsafeBufferPointer(start: start, count: count))
    guard let first = bytes.first else { return 0 }
    let input = Array(bytes.dropFirst())
    switch first % 4 {
    case 0: projections(input)
    case 1: paths(input)
    case 2: targets(input)
    default: selectors(input)
    }
    return 0
}

/// The refusals that ``RequestTarget`` throws.
enum RequestRefusal: Error, Sendable, Hashable {
    case malformed(String)
    case badQuery(String)
    case notFound
}

private let mask = FieldMask.members([
    "a": .scalar, "b": .members(["c": .scalar, "d": .elements(.scalars(["e"]))]), "r": .records(.scalars(["x"])),
])

/// A document gives the same whether it comes whole or byte by byte.
private func projections(_ input: [UInt8]) {
    func read(_ chunks: [[UInt8]]) -> [[UInt8]] {
        var projector = JSONProjector(mask)
        var kept: [[UInt8]] = []
        do throws(JSONDefect) {
            for chunk in chunks { try projector.read(chunk.span) { projection, _ in kept.append(projection.bytes) } }
        } catch {
            kept.append([UInt8(ascii: "!")])
        }
        return kept
    }
    precondition(read([input]) == read(input.map { [$0] }), "a document depends on how it arrives")
}

private let roots = ["/kubepods", "/kubepods.slice", "/kubelet/kubepods"].compactMap { try? KubepodsRoot($0) }

/// A path below no root is no pod's, and nothing behind a pod's own path changes which pod it is.
private func paths(_ input: [UInt8]) {
    for root in roots {
        guard let parsed = root.parse(input) else { continue }
        precondition(input.starts(with: root.description.utf8), "a path outside of the root is believed")
        precondition(parsed.level == .pod || parsed.level == .container || root.parse(input) == parsed)
    }
}

/// A canonical path is its own canonical form.
private func targets(_ input: [UInt8]) {
    guard let target = try? RequestTarget(parsing: String(decoding: input, as: UTF8.self)) else { return }
    precondition((try? RequestTarget(parsing: target.path))?.path == target.path, "decoding twice changes a path")
    precondition(!target.path.utf8.contains { $0 < 0x21 || $0 > 0x7e })
}

/// What is written as a selector is read as the same.
private func selectors(_ input: [UInt8]) {
    guard let selector = try? LabelSelector(String(decoding: input, as: UTF8.self)) else { return }
    _ = selector.matches(["app": "x", "team": "a"])
}
