/// A DNS query with one question (RFC 1035, section 4), and the answers to it.
struct DNSQuery: Sendable, Equatable {
    /// The name asked for, in lower case, without the final dot.
    let name: String
    let type: UInt16

    private let identifier: [UInt8]
    private let recursionDesired: Bool
    /// Name, type and class as they came: an answer repeats them.
    private let question: [UInt8]

    static let typeA: UInt16 = 1

    private static let headerBytes = 12
    private static let classIN: UInt16 = 1
    /// The size of a label; the two bits above it mark a compressed name, which a question has no use for.
    private static let labelBytesMax = 63

    /// `nil` if `datagram` is not a standard query with one question of class IN.
    init?(_ datagram: [UInt8]) {
        guard datagram.count > Self.headerBytes else { return nil }
        let isStandardQuery = datagram[2] & 0b1111_1000 == 0
        guard isStandardQuery, Self.number(datagram, at: 4) == 1 else { return nil }
        var labels: [String] = []
        var offset = Self.headerBytes
        while offset < datagram.count, datagram[offset] != 0 {
            let length = Int(datagram[offset])
            guard length <= Self.labelBytesMax, offset + 1 + length < datagram.count else { return nil }
            labels.append(String(decoding: datagram[(offset + 1)..<(offset + 1 + length)], as: UTF8.self).lowercased())
            offset += 1 + length
        }
        let end = offset + 5
        guard end <= datagram.count, Self.number(datagram, at: offset + 3) == Self.classIN else { return nil }
        name = labels.joined(separator: ".")
        type = Self.number(datagram, at: offset + 1)
        identifier = Array(datagram[..<2])
        recursionDesired = datagram[2] & 1 == 1
        question = Array(datagram[Self.headerBytes..<end])
    }

    /// The answer of a name server that knows the IPv4 addresses `names`, and that nothing else exists.
    func answer(names: [String: [UInt8]]) -> [UInt8] {
        let address = names[name]
        let nameError: UInt8 = address == nil ? 3 : 0
        let records = type == Self.typeA ? [address].compactMap(\.self) : []
        // QR, and RD as asked; RA and the response code.
        let flags: [UInt8] = [0x80 | (recursionDesired ? 1 : 0), 0x80 | nameError]
        let counts: [UInt8] = [0, 1, 0, UInt8(records.count), 0, 0, 0, 0]
        // A pointer to the question's name, type A, class IN, 60 s to live, 4 bytes.
        let recordHead: [UInt8] = [0xc0, UInt8(Self.headerBytes), 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]
        return identifier + flags + counts + question + records.flatMap { recordHead + $0 }
    }

    private static func number(_ bytes: [UInt8], at offset: Int) -> UInt16 {
        UInt16(bytes[offset]) << 8 | UInt16(bytes[offset + 1])
    }
}
