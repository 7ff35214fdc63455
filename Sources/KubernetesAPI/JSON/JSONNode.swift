/// A value of the small JSON that a ``JSONProjector`` leaves, for the objects that a node reads all the time. Swift's decoder takes
/// five times as long for them.
///
/// The scanner has checked the text already. A text with escapes is left to Swift's decoder, which refuses half a surrogate.
enum JSONNode: Sendable {
    case text(String)
    /// A string whose escapes make no text.
    case unreadable
    case number(String)
    case flag(Bool)
    case null
    case list
    case object([(name: String, value: JSONNode)])

    /// A member that is not what its reader expects.
    struct Mismatch: Error {}

    /// `nil`: the bytes are not one value.
    init?(_ bytes: [UInt8]) {
        var reader = JSONNodeReader(bytes: bytes)
        guard let value = reader.value(), reader.position == bytes.count else { return nil }
        self = value
    }

    // MARK: Members

    /// The member; `nil` if it is absent or `null`. Throws if this is no object.
    func member(_ name: String) throws(Mismatch) -> JSONNode? {
        guard case .object(let members) = self else { throw Mismatch() }
        guard let value = members.first(where: { $0.name == name })?.value else { return nil }
        if case .null = value { return nil }
        return value
    }

    func text(_ name: String) throws(Mismatch) -> String? {
        guard let value = try member(name) else { return nil }
        guard case .text(let text) = value else { throw Mismatch() }
        return text
    }

    func flag(_ name: String) throws(Mismatch) -> Bool? {
        guard let value = try member(name) else { return nil }
        guard case .flag(let flag) = value else { throw Mismatch() }
        return flag
    }

    func number(_ name: String) throws(Mismatch) -> Int? {
        guard let value = try member(name) else { return nil }
        guard case .number(let digits) = value,
            let number = Int(digits) ?? Double(digits).flatMap({ Int(exactly: $0) })
        else { throw Mismatch() }
        return number
    }

    /// An object of nothing but texts.
    func texts(_ name: String) throws(Mismatch) -> [String: String]? {
        guard let value = try member(name) else { return nil }
        guard case .object(let members) = value else { throw Mismatch() }
        var texts: [String: String] = [:]
        for member in members {
            guard case .text(let text) = member.value else { throw Mismatch() }
            texts[member.name] = text
        }
        return texts
    }
}

/// Takes projected JSON apart. There is no white space in it, and as many levels as the mask has.
private struct JSONNodeReader {
    let bytes: [UInt8]
    private(set) var position = 0
    private var depth = 0

    init(bytes: [UInt8]) { self.bytes = bytes }

    private mutating func takes(_ byte: UInt8) -> Bool {
        guard position < bytes.count, bytes[position] == byte else { return false }
        position += 1
        return true
    }

    mutating func value() -> JSONNode? {
        guard position < bytes.count, depth < 16 else { return nil }
        switch bytes[position] {
        case UInt8(ascii: "{"): return object()
        case UInt8(ascii: "["): return list()
        case UInt8(ascii: "\""): return string().map { $0.map(JSONNode.text) ?? .unreadable }
        default: return scalar()
        }
    }

    private mutating func object() -> JSONNode? {
        position += 1
        depth += 1
        defer { depth -= 1 }
        var members: [(name: String, value: JSONNode)] = []
        if takes(UInt8(ascii: "}")) { return .object(members) }
        repeat {
            guard position < bytes.count, bytes[position] == UInt8(ascii: "\""), let name = string(),
                takes(UInt8(ascii: ":")), let value = value()
            else { return nil }
            // No reader asks for a name that is no text.
            if let name { members.append((name, value)) }
        } while takes(UInt8(ascii: ","))
        return takes(UInt8(ascii: "}")) ? .object(members) : nil
    }

    private mutating func list() -> JSONNode? {
        position += 1
        depth += 1
        defer { depth -= 1 }
        if takes(UInt8(ascii: "]")) { return .list }
        repeat {
            guard value() != nil else { return nil }
        } while takes(UInt8(ascii: ","))
        return takes(UInt8(ascii: "]")) ? .list : nil
    }

    /// The text of a string; `nil` within if its escapes make none. `nil`: the string does not end.
    private mutating func string() -> String?? {
        let begin = position
        var hasEscape = false
        position += 1
        while position < bytes.count {
            let byte = bytes[position]
            position += 1
            if byte == UInt8(ascii: "\"") {
                if hasEscape { return .some(ProjectedJSON.decode(Array(bytes[begin..<position]))) }
                return .some(String(validating: bytes[(begin + 1)..<(position - 1)], as: UTF8.self))
            }
            if byte == UInt8(ascii: "\\") {
                hasEscape = true
                position += 1
            }
        }
        return nil
    }

    private mutating func scalar() -> JSONNode? {
        let begin = position
        scan: while position < bytes.count {
            switch bytes[position] {
            case UInt8(ascii: ","), UInt8(ascii: "}"), UInt8(ascii: "]"): break scan
            default: position += 1
            }
        }
        let text = String(decoding: bytes[begin..<position], as: UTF8.self)
        switch text {
        case "true": return .flag(true)
        case "false": return .flag(false)
        case "null": return .null
        case "": return nil
        default: return .number(text)
        }
    }
}
