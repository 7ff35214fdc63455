/// The names by which clients know a metadata server; any other `Host` is refused.
///
/// A page that an attacker's DNS rebinds to 169.254.169.254 still sends the attacker's own name.
package struct HostNames: Sendable {
    private let names: Set<String>

    package init(only names: [String]) {
        self.names = Set(names.map(Self.normalized))
    }

    /// Whether `host` (`uri-host [ ":" port ]`, RFC 9110, section 7.2) is one of the names. The port does not matter.
    package func accepts(_ host: String) -> Bool {
        // Most clients send a name as it is kept here, and this is asked for every request.
        names.contains(host) || names.contains(Self.normalized(Self.withoutPort(host)))
    }

    /// An IPv6 address may come without brackets, as some clients write it; then it has no port.
    private static func withoutPort(_ host: String) -> Substring {
        let bytes = host.utf8
        if bytes.first == UInt8(ascii: "[") {
            guard let end = bytes.firstIndex(of: UInt8(ascii: "]")) else { return "" }
            return isPort(host[host.utf8.index(after: end)...])
                ? host[host.utf8.index(after: host.startIndex)..<end] : ""
        }
        guard let colon = bytes.firstIndex(of: UInt8(ascii: ":")), bytes.lastIndex(of: UInt8(ascii: ":")) == colon
        else { return host[...] }
        return isPort(host[colon...]) ? host[..<colon] : ""
    }

    /// Nothing, or a colon and digits.
    private static func isPort(_ text: Substring) -> Bool {
        guard let colon = text.utf8.first else { return true }
        return colon == UInt8(ascii: ":")
            && text.utf8.dropFirst().allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
    }

    /// Lower case, without the final dot of an absolute name.
    private static func normalized(_ name: some StringProtocol) -> String {
        let lowercased = name.lowercased()
        return lowercased.utf8.last == UInt8(ascii: ".") ? String(lowercased.dropLast()) : lowercased
    }
}
