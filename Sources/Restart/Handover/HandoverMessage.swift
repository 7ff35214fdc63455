/// Messages between an agent and its successor during a hot restart. Sixteen bytes each, big-endian.
///
/// ```text
/// successor    hello -->                 who I am; a descriptor of the pin directory's lock file, as SCM_RIGHTS
///              <-- offer                 who I am; the socket of metrics.port, as SCM_RIGHTS
///              take -->                  all is in place
///              <-- yours                 I open and redirect no more, and the lock is free
///              serving -->               connections are redirected to me
/// ```
///
/// On a connection of its own, before `take`, the successor asks for what the predecessor holds:
///
/// ```text
/// successor    credentials -->           a descriptor of the pin directory, as SCM_RIGHTS, to the holder of its lock alone
///              <-- length, bytes         eight bytes, then as many as they say; the connection ends
/// ```
///
/// A predecessor that does not know the question refuses it, and the successor begins with nothing.
///
/// Until `serving` has arrived the predecessor takes everything back when the connection ends: whatever happens to the
/// successor, one of the two accepts.
struct HandoverMessage: Sendable, Equatable {
    enum Kind: UInt8, Sendable {
        case hello = 1
        case offer
        case take
        case yours
        case serving
        case credentials
    }

    /// The version of this conversation. Another version is another format: nothing after these bytes is then
    /// understood.
    static let version: UInt8 = 1
    static let length = 16
    private static let magic = [UInt8]("nidh".utf8)

    var kind: Kind
    /// The version of the kernel programs' maps: agents of different versions do not share tags.
    var abi: UInt16
    var processID: UInt32
    /// How many descriptors come with it: one with a hello, the listening sockets with an offer.
    var descriptors: UInt32 = 0

    var bytes: [UInt8] {
        var bytes = Self.magic + [Self.version, kind.rawValue]
        unsafe bytes += withUnsafeBytes(of: abi.bigEndian) { unsafe [UInt8]($0) }
        for word in [processID, descriptors] {
            unsafe bytes += withUnsafeBytes(of: word.bigEndian) { unsafe [UInt8]($0) }
        }
        return bytes
    }

    init(_ kind: Kind, abi: UInt16, processID: UInt32, descriptors: UInt32 = 0) {
        self.kind = kind
        self.abi = abi
        self.processID = processID
        self.descriptors = descriptors
    }

    init(parsing bytes: some Collection<UInt8>) throws(HandoverError) {
        let bytes = [UInt8](bytes)
        guard bytes.count == Self.length, bytes.starts(with: Self.magic) else {
            throw HandoverError("what came is no message of an agent")
        }
        guard bytes[4] == Self.version else {
            throw HandoverError("it speaks version \(bytes[4]) of the hand-over, and this agent \(Self.version)")
        }
        guard let kind = Kind(rawValue: bytes[5]) else {
            throw HandoverError("what came is a message of the unknown kind \(bytes[5])")
        }
        func number(_ range: Range<Int>) -> UInt32 { bytes[range].reduce(0) { $0 << 8 | UInt32($1) } }
        self.init(
            kind, abi: UInt16(number(6..<8)), processID: number(8..<12), descriptors: number(12..<16))
    }
}

/// Why a hand-over did not take place.
struct HandoverError: Error, Sendable, Equatable, CustomStringConvertible {
    let description: String

    init(_ description: String) {
        self.description = description
    }
}
