/// The bytes of one connection from the server, read by a parser of the test's own: strict, and byte for byte.
struct AnswerStream {
    struct Answer {
        var status: Int
        var fields: [String: String]
        var body: [UInt8]

        var closes: Bool { fields["connection"] == "close" }
    }

    struct Malformed: Error, CustomStringConvertible {
        var description: String
    }

    private(set) var answers: [Answer] = []

    /// Reads all of `bytes`. An answer to HEAD has a length and no body, which shows in what follows it.
    init(parsing bytes: [UInt8]) throws(Malformed) {
        var rest = bytes[...]
        while !rest.isEmpty { answers.append(try Self.answer(&rest)) }
    }

    private static func answer(_ rest: inout ArraySlice<UInt8>) throws(Malformed) -> Answer {
        var lines: [String] = []
        while let line = try line(&rest) { lines.append(line) }
        guard let first = lines.first else { throw Malformed(description: "an answer without a head") }
        let words = first.split(separator: " ", maxSplits: 2, omittingEmptySubsequences: false)
        guard words.count == 3, ["HTTP/1.0", "HTTP/1.1"].contains(words[0]), words[1].count == 3,
            let status = Int(words[1]), (200...599).contains(status)
        else { throw Malformed(description: "the status line '\(first)'") }
        var fields: [String: String] = [:]
        for line in lines.dropFirst() {
            guard let colon = line.firstIndex(of: ":") else { throw Malformed(description: "the field '\(line)'") }
            let value = line[colon...].dropFirst()
            guard value.first == " ",
                fields.updateValue(String(value.dropFirst()), forKey: line[..<colon].lowercased()) == nil
            else { throw Malformed(description: "the field '\(line)'") }
        }
        guard fields["metadata-flavor"] == "Google" else { throw Malformed(description: "no Metadata-Flavor") }
        return Answer(status: status, fields: fields, body: try body(fields, &rest))
    }

    private static func body(
        _ fields: [String: String], _ rest: inout ArraySlice<UInt8>
    ) throws(Malformed) -> [UInt8] {
        guard let text = fields["content-length"] else {
            // The response to a HEAD of a credential that it did not fetch.
            guard rest.isEmpty || rest.starts(with: "HTTP/1.".utf8) else {
                throw Malformed(description: "a body without a length")
            }
            return []
        }
        guard let length = Int(text), length >= 0 else { throw Malformed(description: "Content-Length \(text)") }
        if length == 0 || rest.isEmpty || rest.starts(with: "HTTP/1.".utf8) { return [] }
        guard rest.count >= length else { throw Malformed(description: "a body of \(rest.count), not \(length) bytes") }
        defer { rest = rest.dropFirst(length) }
        return Array(rest.prefix(length))
    }

    /// The next line of a head; `nil` at the empty one.
    private static func line(_ rest: inout ArraySlice<UInt8>) throws(Malformed) -> String? {
        guard let end = rest.firstIndex(of: UInt8(ascii: "\r")), rest[end...].dropFirst().first == UInt8(ascii: "\n")
        else { throw Malformed(description: "a line without an end") }
        let line = rest[..<end]
        guard line.allSatisfy({ (0x20...0x7e).contains($0) }) else {
            throw Malformed(description: "a head with a byte that is not printable")
        }
        rest = rest[(end + 2)...]
        return line.isEmpty ? nil : String(decoding: line, as: UTF8.self)
    }
}
