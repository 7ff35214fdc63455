/// The parameters of a query, which each protocol reads in its own way.
package enum QueryParameters {
    /// Parameters of one request. No client sends more than a handful; a target full of them would be thousands, each
    /// of which is decoded on an event loop of all pods'.
    private static let limit = 64

    /// The parameters of a query, decoded, in their order; empty ones are left out.
    package static func fields(of query: String) throws(RequestRefusal) -> [(name: String, value: String)] {
        guard query.utf8.count(where: { $0 == UInt8(ascii: "&") }) < limit else {
            throw .badQuery("The query may have at most \(limit) parameters.")
        }
        var fields: [(name: String, value: String)] = []
        for pair in query.utf8.split(separator: UInt8(ascii: "&")) {
            let equals = pair.firstIndex(of: UInt8(ascii: "=")) ?? pair.endIndex
            fields.append((try decode(pair[..<equals]), try decode(pair[equals...].dropFirst())))
        }
        return fields
    }

    /// Decodes a name or a value of `application/x-www-form-urlencoded`: `+` is a space.
    private static func decode(_ bytes: Substring.UTF8View) throws(RequestRefusal) -> String {
        var decoded: [UInt8] = []
        decoded.reserveCapacity(bytes.count)
        var decoder = PercentDecoder(bytes)
        while let byte = try decoder.next() {
            decoded.append(!byte.isEncoded && byte.value == UInt8(ascii: "+") ? UInt8(ascii: " ") : byte.value)
        }
        guard let text = String(validating: decoded, as: UTF8.self) else {
            throw .badQuery("The query is not valid UTF-8.")
        }
        return text
    }
}
