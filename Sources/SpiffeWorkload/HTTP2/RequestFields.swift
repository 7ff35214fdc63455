import NIOHPACK

/// The fields of a request or of its trailers, checked (RFC 9113, sections 8.1 to 8.3).
struct RequestFields {
    /// A message that breaks these rules: its stream ends.
    struct Malformed: Error, Equatable {}

    private struct Pseudo: OptionSet {
        let rawValue: UInt8
        static let method = Pseudo(rawValue: 1)
        static let scheme = Pseudo(rawValue: 2)
        static let path = Pseudo(rawValue: 4)
        static let authority = Pseudo(rawValue: 8)
    }

    /// The length of the body, where the client has said it.
    private(set) var contentLength: Int?
    private var pseudo: Pseudo = []
    private var isConnect = false
    private var isPastPseudo = false

    init(ofRequest headers: HPACKHeaders) throws(Malformed) {
        for (name, value, _) in headers { try read(name, value) }
        guard isConnect ? pseudo == [.method, .authority] : pseudo.isSuperset(of: [.method, .scheme, .path]) else {
            throw Malformed()
        }
    }

    init(ofTrailers headers: HPACKHeaders) throws(Malformed) {
        // No pseudo-header may be there.
        isPastPseudo = true
        for (name, value, _) in headers { try read(name, value) }
    }

    private mutating func read(_ name: String, _ value: String) throws(Malformed) {
        guard Self.isLegal(value) else { throw Malformed() }
        if name.utf8.first == UInt8(ascii: ":") { return try readPseudo(name, value) }
        isPastPseudo = true
        guard !name.isEmpty, name.utf8.allSatisfy(Self.isOfName) else { throw Malformed() }
        switch name {
        case "connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade": throw Malformed()
        case "te": guard value == "trailers" else { throw Malformed() }
        case "content-length":
            guard !value.isEmpty, value.utf8.count <= 18, value.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
                let length = Int(value), contentLength == nil || contentLength == length
            else { throw Malformed() }
            contentLength = length
        default: break
        }
    }

    private mutating func readPseudo(_ name: String, _ value: String) throws(Malformed) {
        let kind: Pseudo
        switch name {
        case ":method":
            kind = .method
            isConnect = value == "CONNECT"
        case ":scheme": kind = .scheme
        case ":path": kind = .path
        case ":authority": kind = .authority
        default: throw Malformed()
        }
        guard !isPastPseudo, !pseudo.contains(kind), kind != .path || !value.isEmpty else { throw Malformed() }
        pseudo.insert(kind)
    }

    /// Whether a byte may stand in the name of a field: those of a token, and no capital.
    private static func isOfName(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x21, 0x23...0x27, 0x2a, 0x2b, 0x2d, 0x2e, 0x30...0x39, 0x5e...0x7a, 0x7c, 0x7e: true
        default: false
        }
    }

    /// Whether a value has no byte that another protocol would take for its end, and no space around it.
    private static func isLegal(_ value: String) -> Bool {
        let bytes = value.utf8
        guard let first = bytes.first, let last = bytes.last else { return true }
        return !isSpace(first) && !isSpace(last) && bytes.allSatisfy { $0 != 0 && $0 != 0x0a && $0 != 0x0d }
    }

    private static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }
}
