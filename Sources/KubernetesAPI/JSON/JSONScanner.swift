/// Cuts a stream of bytes into the tokens of JSON (RFC 8259), wherever its chunks end, and keeps nothing of what its
/// caller passes over.
///
/// Strict: a sequence of objects with white space around them, and no other text. Memory is bounded by
/// ``captureLimit`` and ``depthLimit``, whatever the stream holds.
struct JSONScanner: Sendable {
    enum Token: Sendable, Equatable {
        case beginObject, endObject, beginArray, endArray
        /// The name of a member, in ``captured``.
        case name
        /// A string with its quotes, a number, `true`, `false` or `null`, in ``captured``.
        case scalar
    }

    /// Names and scalars are kept up to this many bytes, as written.
    static let captureLimit = 4096
    /// Go's `encoding/json` reads 10,000 levels, and a watch event adds two.
    static let depthLimit = 10_240

    /// The latest name or scalar as it stands in the stream. Empty if it was longer than ``captureLimit``.
    private(set) var captured: [UInt8] = []
    private(set) var isTooLongToCapture = false
    /// The number of objects and arrays that are open.
    var depth: Int { containers.depth }
    /// Whether the next value is passed over, with all that it contains: no token reports it.
    var passesOver = false

    private enum State: Sendable {
        case value, valueOrEnd, name, nameOrEnd, colon, commaOrEnd
        case string(JSONStringPart, isName: Bool)
        case number(JSONNumberPart)
        case literal(JSONLiteral, read: Int)
    }

    private var state = State.value
    private var containers = JSONNesting()
    /// The depth at which what is being passed over began.
    private var passingFloor: Int?

    /// Reads on from `position` to the end of the next token; `nil` when the chunk ends first.
    mutating func next(in bytes: Span<UInt8>, at position: inout Int) throws(JSONDefect) -> Token? {
        while position < bytes.count {
            let token: Token?
            switch state {
            case .string(let part, let isName):
                token = try scanString(bytes, &position, part, isName: isName)
            case .number(let part):
                token = try scanNumber(bytes, &position, part)
            case .literal(let literal, let read):
                token = try scanLiteral(bytes[position], literal, read)
                position += 1
            default:
                let byte = bytes[position]
                position += 1
                if byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 { continue }
                token = try scanStructure(byte)
            }
            if let token { return token }
        }
        return nil
    }

    /// Passes over the rest of the innermost object or array, its end included.
    mutating func passOverContainer() {
        passingFloor = containers.depth - 1
    }

    // MARK: Structure

    private mutating func scanStructure(_ byte: UInt8) throws(JSONDefect) -> Token? {
        switch (state, byte) {
        case (.valueOrEnd, UInt8(ascii: "]")):
            return try end(isObject: false)
        case (.value, _), (.valueOrEnd, _):
            return try beginValue(byte)
        case (.name, UInt8(ascii: "\"")), (.nameOrEnd, UInt8(ascii: "\"")):
            startCapture(byte, isWanted: passingFloor == nil)
            state = .string(.plain, isName: true)
            return nil
        case (.nameOrEnd, UInt8(ascii: "}")):
            return try end(isObject: true)
        case (.colon, UInt8(ascii: ":")):
            state = .value
            return nil
        case (.commaOrEnd, UInt8(ascii: ",")):
            state = containers.isInObject ? .name : .value
            return nil
        case (.commaOrEnd, UInt8(ascii: "}")):
            return try end(isObject: true)
        case (.commaOrEnd, UInt8(ascii: "]")):
            return try end(isObject: false)
        default:
            throw .unexpected(byte)
        }
    }

    private mutating func beginValue(_ byte: UInt8) throws(JSONDefect) -> Token? {
        let isPassedOver = passesOver || passingFloor != nil
        switch byte {
        case UInt8(ascii: "{"), UInt8(ascii: "["):
            let isObject = byte == UInt8(ascii: "{")
            guard isObject || containers.depth > 0 else { throw .unexpected(byte) }
            if passesOver, passingFloor == nil { passingFloor = containers.depth }
            passesOver = false
            guard containers.push(isObject: isObject) else { throw .tooDeep }
            state = isObject ? .nameOrEnd : .valueOrEnd
            return isPassedOver ? nil : isObject ? .beginObject : .beginArray
        case _ where containers.depth == 0:
            throw .unexpected(byte)
        case UInt8(ascii: "\""):
            state = .string(.plain, isName: false)
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"):
            state = .number(JSONNumberPart(first: byte))
        default:
            guard let literal = JSONLiteral(first: byte) else { throw .unexpected(byte) }
            state = .literal(literal, read: 1)
        }
        startCapture(byte, isWanted: !isPassedOver)
        return nil
    }

    private mutating func end(isObject: Bool) throws(JSONDefect) -> Token? {
        guard containers.pop() == isObject else { throw .unexpected(UInt8(ascii: isObject ? "}" : "]")) }
        state = containers.depth == 0 ? .value : .commaOrEnd
        guard let floor = passingFloor else { return isObject ? .endObject : .endArray }
        if containers.depth == floor { passingFloor = nil }
        return nil
    }

    /// Ends a string, number or literal.
    private mutating func endScalar() -> Token? {
        state = .commaOrEnd
        let isPassedOver = passesOver || passingFloor != nil
        passesOver = false
        return isPassedOver ? nil : .scalar
    }

    // MARK: Capture

    private var captures = false

    private mutating func startCapture(_ byte: UInt8, isWanted: Bool) {
        captures = isWanted
        isTooLongToCapture = false
        captured.removeAll(keepingCapacity: true)
        if isWanted { captured.append(byte) }
    }

    private mutating func capture(_ bytes: Span<UInt8>, _ range: Range<Int>) {
        guard captures else { return }
        guard captured.count + range.count <= Self.captureLimit else {
            captures = false
            isTooLongToCapture = true
            captured.removeAll(keepingCapacity: true)
            return
        }
        for index in range { captured.append(bytes[index]) }
    }

    // MARK: Scalars

    private mutating func scanString(
        _ bytes: Span<UInt8>, _ position: inout Int, _ part: JSONStringPart, isName: Bool
    ) throws(JSONDefect) -> Token? {
        let start = position
        var part = part
        let ended = try part.scan(bytes, &position)
        capture(bytes, start..<position)
        guard ended else {
            state = .string(part, isName: isName)
            return nil
        }
        guard isName else { return endScalar() }
        state = .colon
        return passingFloor == nil ? .name : nil
    }

    /// The byte that ends a number is not part of it.
    private mutating func scanNumber(
        _ bytes: Span<UInt8>, _ position: inout Int, _ part: JSONNumberPart
    ) throws(JSONDefect) -> Token? {
        let start = position
        var part = part
        while position < bytes.count {
            guard let next = part.after(bytes[position]) else {
                guard part.isComplete else { throw .unexpected(bytes[position]) }
                capture(bytes, start..<position)
                return endScalar()
            }
            part = next
            position += 1
        }
        capture(bytes, start..<position)
        state = .number(part)
        return nil
    }

    private mutating func scanLiteral(
        _ byte: UInt8, _ literal: JSONLiteral, _ read: Int
    ) throws(JSONDefect) -> Token? {
        let text = literal.rawValue.utf8
        guard byte == text[text.index(text.startIndex, offsetBy: read)] else { throw .unexpected(byte) }
        if captures { captured.append(byte) }
        guard read + 1 == text.count else {
            state = .literal(literal, read: read + 1)
            return nil
        }
        return endScalar()
    }
}
