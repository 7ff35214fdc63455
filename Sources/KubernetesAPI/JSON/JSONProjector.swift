/// Reads a stream of JSON objects and keeps of each what a mask names.
///
/// Memory does not follow the size of the objects: a document is bounded by ``documentLimit``, whatever was passed over.
struct JSONProjector: Sendable {
    /// The most that is kept of one document, in bytes. Beyond it members are left out, and the projection is
    /// incomplete.
    static let documentLimit = 64 * 1024

    /// The bytes of the object that is being read; 0 between two.
    var pendingSize: Int { scanner.depth > 0 ? size : 0 }
    /// Whether the stream is inside of an object.
    var isWithinObject: Bool { scanner.depth > 0 }

    private struct Frame: Sendable {
        var mask: FieldMask
        var isObject: Bool
        /// Members or elements that were copied.
        var copied = 0
        /// Members of the mask that were met.
        var names: [String] = []
    }

    private var scanner = JSONScanner()
    private let mask: FieldMask
    private var frames: [Frame] = []
    /// The frames below the record that is being read.
    private var recordFloor: Int?
    private var output: [UInt8] = []
    private var isIncomplete = false
    /// Bytes of the document or record that is being read, in the stream.
    private var size = 0
    /// The part of the document around a record.
    private var surroundings = JSONProjection(bytes: [], size: 0, isIncomplete: false)
    /// The member whose value comes next.
    private var name: (text: [UInt8], mask: FieldMask)?

    init(_ mask: FieldMask) {
        self.mask = mask
    }

    /// Reads `bytes`, and calls `receive` with each document and each record (`true`) that ends in them.
    mutating func read(_ bytes: Span<UInt8>, receive: (JSONProjection, Bool) -> Void) throws(JSONDefect) {
        var position = 0
        while true {
            let start = position
            let token = try scanner.next(in: bytes, at: &position)
            size += position - start
            guard let token else { return }
            switch token {
            case .name: try takeName()
            case .scalar: takeScalar(receive)
            case .beginObject, .beginArray: begin(isObject: token == .beginObject, receive)
            case .endObject, .endArray: end(receive)
            }
        }
    }

    // MARK: Tokens

    private mutating func takeName() throws(JSONDefect) {
        guard case .members(let members) = frames.last?.mask, let text = scanner.capturedText,
            let mask = members[text]
        else {
            scanner.passesOver = true
            return
        }
        guard !(frames.last?.names.contains(text) ?? false) else { throw .duplicate }
        frames[frames.count - 1].names.append(text)
        guard output.count < Self.documentLimit else {
            isIncomplete = true
            scanner.passesOver = true
            return
        }
        name = (scanner.captured, mask)
    }

    private mutating func takeScalar(_ receive: (JSONProjection, Bool) -> Void) {
        if isAtRecord {
            return receive(
                JSONProjection(bytes: scanner.captured, size: scanner.captured.count, isIncomplete: true), true)
        }
        guard output.count < Self.documentLimit, !scanner.isTooLongToCapture else {
            isIncomplete = true
            name = nil
            return
        }
        writeSeparator()
        output += scanner.captured
    }

    private mutating func begin(isObject: Bool, _ receive: (JSONProjection, Bool) -> Void) {
        let mask = nextMask
        let isChosen =
            switch mask {
            case .scalar: false
            case .members: isObject
            case .elements, .records: !isObject
            }
        guard isChosen, output.count < Self.documentLimit || isAtRecord || frames.isEmpty else {
            return passOver(isObject: isObject, isChosen: isChosen, receive)
        }
        if isAtRecord {
            recordFloor = frames.count
            surroundings = JSONProjection(bytes: output, size: size - 1, isIncomplete: isIncomplete)
            (output, size, isIncomplete) = ([], 1, false)
        } else if frames.isEmpty {
            (output, size, isIncomplete) = ([], 1, false)
        } else {
            writeSeparator()
        }
        output.append(UInt8(ascii: isObject ? "{" : "["))
        frames.append(Frame(mask: mask, isObject: isObject))
    }

    /// Leaves an empty object or array where one is that the mask does not look into.
    private mutating func passOver(isObject: Bool, isChosen: Bool, _ receive: (JSONProjection, Bool) -> Void) {
        scanner.passOverContainer()
        let empty = Array((isObject ? "{}" : "[]").utf8)
        if isAtRecord { return receive(JSONProjection(bytes: empty, size: empty.count, isIncomplete: true), true) }
        isIncomplete = isIncomplete || isChosen
        writeSeparator()
        output += empty
    }

    private mutating func end(_ receive: (JSONProjection, Bool) -> Void) {
        guard let frame = frames.popLast() else { return }
        output.append(UInt8(ascii: frame.isObject ? "}" : "]"))
        let projection = JSONProjection(bytes: output, size: size, isIncomplete: isIncomplete)
        if recordFloor == frames.count {
            recordFloor = nil
            let whole = surroundings.size + size
            (output, size, isIncomplete) = (surroundings.bytes, whole, surroundings.isIncomplete)
            surroundings = JSONProjection(bytes: [], size: 0, isIncomplete: false)
            receive(projection, true)
        } else if frames.isEmpty {
            receive(projection, false)
        }
    }

    // MARK: Output

    /// Whether the value that begins is a record.
    private var isAtRecord: Bool {
        guard case .records = frames.last?.mask else { return false }
        return true
    }

    /// The mask of the value that begins.
    private var nextMask: FieldMask {
        if let name { return name.mask }
        switch frames.last?.mask {
        case .elements(let mask), .records(let mask): return mask
        case .members, .scalar: return .scalar
        case nil: return mask
        }
    }

    /// Writes what comes before a value: a comma, and the member's name.
    private mutating func writeSeparator() {
        guard let last = frames.indices.last else { return }
        if frames[last].copied > 0 { output.append(UInt8(ascii: ",")) }
        frames[last].copied += 1
        if let name {
            output += name.text
            output.append(UInt8(ascii: ":"))
        }
        name = nil
    }
}

extension JSONProjector {
    /// The part kept so far of the object, or of the record in it, that is being read; `nil` between two.
    var unfinishedRecord: JSONProjection? {
        recordFloor.map { floor in
            JSONProjection(bytes: closed(output, frames[floor...].map(\.isObject)), size: size, isIncomplete: true)
        }
    }

    /// The part kept so far of the document that is being read, without the records in it.
    var unfinishedDocument: JSONProjection? {
        guard !frames.isEmpty else { return nil }
        let open = recordFloor.map { frames[..<$0].map(\.isObject) } ?? frames.map(\.isObject)
        return JSONProjection(
            bytes: closed(recordFloor == nil ? output : surroundings.bytes, open),
            size: surroundings.size + size, isIncomplete: true)
    }

    private func closed(_ bytes: [UInt8], _ open: [Bool]) -> [UInt8] {
        bytes + open.reversed().map { UInt8(ascii: $0 ? "}" : "]") }
    }
}

extension JSONScanner {
    /// The latest name, its escapes resolved; `nil` if it was too long, or if its escapes make no text.
    var capturedText: String? {
        guard captured.count >= 2 else { return nil }
        guard captured.contains(UInt8(ascii: "\\")) else {
            return String(decoding: captured[1..<(captured.count - 1)], as: UTF8.self)
        }
        return ProjectedJSON.decode(captured)
    }
}
