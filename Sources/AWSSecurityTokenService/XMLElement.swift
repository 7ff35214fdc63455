/// One element of a small XML document: what AWS's query protocol answers with.
///
/// Elements, text and the five predefined entities alone. Whatever else XML has (document types, other entities,
/// processing instructions but the declaration, CDATA, comments) is refused: no answer has it, and parsers fall for it.
struct XMLElement: Sendable, Hashable {
    /// The name without a namespace prefix.
    var name: String
    /// The element's own text, without its children's.
    var text = ""
    var children: [XMLElement] = []

    static let depthLimit = 16
    static let elementLimit = 256

    /// Reads a whole document; `nil` if it is none of this kind.
    init?(document bytes: [UInt8]) {
        guard String(validating: bytes, as: UTF8.self) != nil else { return nil }
        var reader = XMLReader(bytes)
        guard reader.skipDeclaration(), let root = reader.element(depth: 0), reader.isAtEnd else { return nil }
        self = root
    }

    init(name: String) {
        self.name = name
    }

    /// The only descendant at `path`; `nil` if there is none, or more than one.
    func only(_ path: String...) -> XMLElement? {
        path.reduce(self as XMLElement?) { element, name in
            guard let found = element?.children.filter({ $0.name == name }), found.count == 1 else { return nil }
            return found[0]
        }
    }
}

/// Reads XML from the front.
private struct XMLReader {
    private let bytes: [UInt8]
    private var index = 0
    private var elements = 0

    init(_ bytes: [UInt8]) {
        self.bytes = bytes
    }

    var isAtEnd: Bool {
        mutating get {
            skipSpace()
            return index == bytes.count
        }
    }

    /// Skips `<?xml ... ?>`, if it is there.
    mutating func skipDeclaration() -> Bool {
        skipSpace()
        guard skip("<?xml ") else { return true }
        guard let end = bytes[index...].firstIndex(of: UInt8(ascii: ">")), bytes[end - 1] == UInt8(ascii: "?") else {
            return false
        }
        index = end + 1
        return true
    }

    mutating func element(depth: Int) -> XMLElement? {
        skipSpace()
        elements += 1
        guard depth < XMLElement.depthLimit, elements <= XMLElement.elementLimit, skip("<"), let name = self.name(),
            let isEmpty = endOfTag()
        else { return nil }
        var element = XMLElement(name: Self.localName(name))
        guard !isEmpty else { return element }
        while index < bytes.count {
            if skip("</") {
                guard self.name() == name else { return nil }
                skipSpace()
                return skip(">") ? element : nil
            }
            if bytes[index] == UInt8(ascii: "<") {
                guard let child = self.element(depth: depth + 1) else { return nil }
                element.children.append(child)
            } else {
                guard let text = self.text() else { return nil }
                element.text += text
            }
        }
        return nil
    }

    /// Skips attributes up to the end of the tag; says whether the element ends with it.
    private mutating func endOfTag() -> Bool? {
        while index < bytes.count {
            skipSpace()
            if skip("/>") { return true }
            if skip(">") { return false }
            guard name() != nil, skip("="), index < bytes.count else { return nil }
            let quote = bytes[index]
            guard quote == UInt8(ascii: "\"") || quote == UInt8(ascii: "'"),
                let end = bytes[(index + 1)...].firstIndex(of: quote),
                !bytes[index..<end].contains(UInt8(ascii: "<"))
            else { return nil }
            index = end + 1
        }
        return nil
    }

    private mutating func name() -> [UInt8]? {
        let name = bytes[index...].prefix { byte in
            (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20)
                || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) || "_:.-".utf8.contains(byte)
        }
        index += name.count
        return name.isEmpty ? nil : Array(name)
    }

    private mutating func text() -> String? {
        var text: [UInt8] = []
        while index < bytes.count, bytes[index] != UInt8(ascii: "<") {
            if bytes[index] == UInt8(ascii: "&") {
                guard let (entity, byte) = Self.entities.first(where: { bytes[index...].starts(with: $0.0) }) else {
                    return nil
                }
                text.append(byte)
                index += entity.count
            } else {
                text.append(bytes[index])
                index += 1
            }
        }
        return String(decoding: text, as: UTF8.self)
    }

    private static let entities: [([UInt8], UInt8)] = [
        ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"),
    ].map { (Array($0.0.utf8), Array($0.1.utf8)[0]) }

    private static func localName(_ name: [UInt8]) -> String {
        String(decoding: name.split(separator: UInt8(ascii: ":")).last ?? [], as: UTF8.self)
    }

    private mutating func skip(_ text: StaticString) -> Bool {
        let wanted = unsafe UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount)
        guard unsafe bytes[index...].starts(with: wanted) else { return false }
        index += wanted.count
        return true
    }

    private mutating func skipSpace() {
        while index < bytes.count, [0x20, 0x09, 0x0a, 0x0d].contains(bytes[index]) { index += 1 }
    }
}
