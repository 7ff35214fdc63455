/// The part of CoreDNS's configuration that `deploy/dns/corefile.snippet` uses: server blocks with the plugin `hosts`.
enum Corefile {
    /// The IPv4 addresses that the entries of `hosts` give, by name.
    /// - Throws: A sentence about the first line that is not understood, or an entry outside its block's zones, which
    ///   CoreDNS passes over.
    static func names(in text: String) throws(LabError) -> [String: String] {
        var names: [String: String] = [:]
        var zones: [Substring] = []
        var depth = 0
        for line in text.split(separator: "\n") where !line.hasPrefix("#") {
            let words = line.split(separator: " ")
            switch (depth, words.last) {
            case (0, "{"):
                zones = words.dropLast().map { $0.split(separator: ":").first ?? "" }
                depth = 1
            case (1, "{") where words.first == "hosts":
                depth = 2
            case (1...2, "}") where words.count == 1:
                depth -= 1
            case (2, _) where words.first == "ttl":
                break
            case (2, _) where words.count > 1 && (words.first ?? "").contains("."):
                for name in words.dropFirst() {
                    guard zones.contains(where: { name == $0 || name.hasSuffix("." + $0) }) else {
                        throw LabError("'\(name)' is outside the zones of its block")
                    }
                    names[String(name)] = String(words[0])
                }
            default:
                throw LabError("'\(line)' is not understood")
            }
        }
        guard depth == 0 else { throw LabError("a block is not closed") }
        return names
    }
}
