/// A header block that this server sends.
///
/// The fields are literals without indexing (RFC 7541, 6.2.2), which need no table on either side. Clients get the same few
/// again and again: they are encoded once.
struct FieldBlock: Sendable {
    private(set) var bytes: [UInt8] = []

    init(_ fields: [(String, String)]) {
        for (name, value) in fields { add(name, value) }
    }

    /// Adds a field. A pseudo-header comes first.
    mutating func add(_ name: String, _ value: String) {
        if name == ":status", value == "200" {
            // The static table's entry 8.
            bytes.append(0x88)
            return
        }
        bytes.append(0)
        add(name)
        add(value)
    }

    /// Adds a string without Huffman's code (RFC 7541, 5.2).
    private mutating func add(_ text: String) {
        var rest = text.utf8.count
        if rest < 0x7f {
            bytes.append(UInt8(rest))
        } else {
            bytes.append(0x7f)
            rest -= 0x7f
            while rest >= 0x80 {
                bytes.append(UInt8(rest & 0x7f) | 0x80)
                rest >>= 7
            }
            bytes.append(UInt8(rest))
        }
        bytes.append(contentsOf: text.utf8)
    }

    /// The update of the table's size to nothing (RFC 7541, 6.3), which the first block of a connection begins with: a client
    /// that wants a smaller table than the default waits for one.
    static let noTable: UInt8 = 0x20
}
