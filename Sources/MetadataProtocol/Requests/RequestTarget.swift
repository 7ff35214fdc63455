package import NIOHTTP1

/// A request target (RFC 9112, section 3.2) in the one form that routes are matched against.
///
/// The path is split at the first `?`, percent-decoded exactly once, its `//` collapsed and its dot segments resolved.
/// What could mean one thing here and another elsewhere is refused instead: an encoded slash, percent sign, `?`, `#` or
/// backslash, a control character, anything that is not ASCII, and `..` above the root. No entry of the tree has such a
/// byte. A canonical path is therefore its own canonical form: decoding it again changes nothing.
package struct RequestTarget: Sendable, Hashable {
    /// Starts with `/`; printable ASCII.
    package let path: String
    /// The query as sent, without the `?`; printable ASCII.
    package let query: String?
    /// The authority of an absolute-form target. It overrides `Host` (RFC 9112, section 3.2.2).
    package let authority: String?

    /// Accepts origin-form and absolute-form with the scheme `http`.
    package init(parsing target: String) throws(RequestRefusal) {
        let bytes = target.utf8Span.span
        for index in bytes.indices {
            switch bytes[index] {
            case 0x21...0x7e where bytes[index] != UInt8(ascii: "#") && bytes[index] != UInt8(ascii: "\\"): continue
            default: throw .malformed("The request target has a byte that is not allowed in one.")
            }
        }
        guard let first = target.utf8.first else { throw .malformed("The request target is empty.") }

        let relative: Substring
        if first == UInt8(ascii: "/") {
            self.authority = nil
            relative = target[...]
        } else {
            guard target.prefix(7).lowercased() == "http://" else {
                throw .malformed("The request target must be a path, or a URL with the scheme http.")
            }
            let rest = target.dropFirst(7)
            let end = rest.utf8.firstIndex { $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: "?") } ?? rest.endIndex
            self.authority = String(rest[..<end])
            relative = rest[end...]
        }

        let split = relative.utf8.firstIndex(of: UInt8(ascii: "?")) ?? relative.endIndex
        self.query = split == relative.endIndex ? nil : String(relative[relative.utf8.index(after: split)...])
        self.path = try Self.canonicalPath(relative[..<split].utf8)
    }

    /// `path` is printable ASCII and starts with `/`, or is empty.
    private static func canonicalPath(_ path: Substring.UTF8View) throws(RequestRefusal) -> String {
        var canonical: [UInt8] = [UInt8(ascii: "/")]
        canonical.reserveCapacity(path.count + 1)
        var segment = 1  // Where the current segment starts in `canonical`.
        var bytes = PercentDecoder(path)
        while let byte = try bytes.next() {
            if byte.isEncoded {
                switch byte.value {
                case 0x21...0x7e where !Self.ambiguous.contains(byte.value): canonical.append(byte.value)
                default: throw .malformed("The path has an encoded byte that no path here has.")
                }
            } else if byte.value == UInt8(ascii: "/") {
                try Self.close(&segment, of: &canonical, isLast: false)
            } else {
                canonical.append(byte.value)
            }
        }
        try Self.close(&segment, of: &canonical, isLast: true)
        return String(decoding: canonical, as: UTF8.self)
    }

    private static let ambiguous: [UInt8] = Array("/%?#\\".utf8)

    /// Ends the segment that starts at `segment`: drops it if it is empty or `.`, and its parent too if it is `..`.
    private static func close(
        _ segment: inout Int, of canonical: inout [UInt8], isLast: Bool
    ) throws(RequestRefusal) {
        let length = canonical.count - segment
        let dot = UInt8(ascii: ".")
        if length == 2, canonical[segment] == dot, canonical[segment + 1] == dot {
            guard segment > 1 else { throw .malformed("The path leads above the root.") }
            // The parent's name lies between the last slash and the one before it.
            canonical.removeLast(3)
            while canonical.last != UInt8(ascii: "/") { canonical.removeLast() }
        } else if length == 1, canonical[segment] == dot {
            canonical.removeLast()
        } else if length > 0, !isLast {
            canonical.append(UInt8(ascii: "/"))
        }
        segment = canonical.count
    }
}

extension RequestTarget: CustomStringConvertible {
    /// The path alone: a query may hold what its sender thinks private.
    package var description: String { path }
}

extension RequestTarget {
    /// Checks `Host`, and the authority of an absolute-form target, against `names`.
    package func check(_ head: HTTPRequestHead, isFor names: HostNames) throws(RequestRefusal) {
        let host = try head.onlyField("Host")
        guard host != nil || head.version != .http1_1 else {
            throw .malformed("A request of HTTP/1.1 must have a Host header.")
        }
        if let host, !names.accepts(host) { throw .unknownHost }
        if let authority, !names.accepts(authority) { throw .unknownHost }
    }
}
