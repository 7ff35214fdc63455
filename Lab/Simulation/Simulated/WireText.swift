/// Looks into the text of calls and lines, byte by byte: the world does so at each of them.
enum WireText {
    /// Whether `text` holds `part`, which is not empty.
    static func holds(_ text: String, _ part: String) -> Bool {
        let (bytes, wanted) = (text.utf8Span.span, part.utf8Span.span)
        guard wanted.count <= bytes.count else { return false }
        for start in 0...(bytes.count - wanted.count) where bytes[start] == wanted[0] {
            var length = 1
            while length < wanted.count, bytes[start + length] == wanted[length] { length += 1 }
            if length == wanted.count { return true }
        }
        return false
    }

    /// A path, and the parameters of its query as they stand there.
    static func split(_ path: Substring) -> (route: String, query: [String: String]) {
        guard let mark = path.utf8.firstIndex(of: UInt8(ascii: "?")) else { return (String(path), [:]) }
        return (String(path[..<mark]), fields(path[mark...].dropFirst()))
    }

    /// The fields of `application/x-www-form-urlencoded`, as they stand there.
    static func fields(_ form: Substring) -> [String: String] {
        var fields: [String: String] = [:]
        let bytes = Array(form.utf8)
        var start = 0
        while start < bytes.count {
            var (sign, end) = (-1, start)
            while end < bytes.count, bytes[end] != UInt8(ascii: "&") {
                if sign < 0, bytes[end] == UInt8(ascii: "=") { sign = end }
                end += 1
            }
            let name = bytes[start..<(sign < 0 ? end : sign)]
            let value = sign < 0 ? [] : bytes[(sign + 1)..<end]
            if end > start { fields[String(decoding: name, as: UTF8.self)] = String(decoding: value, as: UTF8.self) }
            start = end + 1
        }
        return fields
    }
}
