/// Percent-encoding (RFC 3986 section 2.1) that leaves only unreserved characters as they are, so that no value can
/// become syntax: not in a path segment, not in a query, not in a form.
package enum PercentEncoding {
    package static func encode(_ text: String) -> String {
        // Names and tokens need nothing encoded.
        guard !text.utf8.allSatisfy(isUnreserved) else { return text }
        var result: [UInt8] = []
        result.reserveCapacity(text.utf8.count * 3 / 2)
        for byte in text.utf8 {
            if isUnreserved(byte) {
                result.append(byte)
            } else {
                result += [UInt8(ascii: "%"), hexadecimal(byte >> 4), hexadecimal(byte & 15)]
            }
        }
        return String(decoding: result, as: UTF8.self)
    }

    /// A path segment, or `nil` if it is one that a server would resolve away: empty, `.` or `..`.
    package static func segment(_ text: String) -> String? {
        text.isEmpty || text == "." || text == ".." ? nil : encode(text)
    }

    /// `application/x-www-form-urlencoded`, which is also the form of a query. Spaces become `%20`, which every
    /// decoder of either knows.
    package static func form(_ fields: KeyValuePairs<String, String>) -> String {
        fields.map { "\(encode($0.key))=\(encode($0.value))" }.joined(separator: "&")
    }

    private static func isUnreserved(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
            UInt8(ascii: "~"):
            true
        default: false
        }
    }

    private static func hexadecimal(_ nibble: UInt8) -> UInt8 {
        nibble < 10 ? UInt8(ascii: "0") + nibble : UInt8(ascii: "A") + nibble - 10
    }
}
