import BPF
import Settings

/// The address families in which a namespace has a listening socket.
package struct LoopbackFamilies: OptionSet, Sendable, Hashable {
    package let rawValue: UInt8

    package init(rawValue: UInt8) { self.rawValue = rawValue }

    /// 127.0.0.1
    package static let ipv4 = LoopbackFamilies(rawValue: 1)
    /// ::1
    package static let ipv6 = LoopbackFamilies(rawValue: 2)
    package static let both: LoopbackFamilies = [.ipv4, .ipv6]

    var count: Int { rawValue.nonzeroBitCount }
}

/// Asks `podidentd-opener` for listening sockets in one namespace: `struct request` of Sources/podidentd-opener/opener.h.
package struct OpenerRequest: Sendable, Equatable {
    static let length = 24

    var namespace: NetworkNamespaceID
    /// A process that was in the namespace, by its ID in the PID namespace of the opener; 0: none is known.
    var process: UInt32
    var ports: ListenerPorts
    var families = LoopbackFamilies.both

    var bytes: [UInt8] {
        var bytes: [UInt8] = []
        unsafe withUnsafeBytes(of: namespace.cookie) { unsafe bytes += $0 }
        for word in [namespace.inode, process] { unsafe withUnsafeBytes(of: word) { unsafe bytes += $0 } }
        unsafe withUnsafeBytes(of: ports.first) { unsafe bytes += $0 }
        bytes += [ports.count, families.rawValue, 0, 0, 0, 0]
        return bytes
    }
}

/// Answers an ``OpenerRequest``: `struct answer`.
struct OpenerResponse: Sendable, Equatable {
    static let length = 16

    /// How far a failed opening came: `enum step`.
    enum Step: UInt8, Sendable {
        case done = 0
        case find
        case compare
        case enter
        case listen
    }

    var error: Int32
    var port: UInt16
    var families: LoopbackFamilies
    var step: Step
    var cookie: UInt64

    init(error: Int32 = 0, port: UInt16, families: LoopbackFamilies, step: Step = .done, cookie: UInt64) {
        self.error = error
        self.port = port
        self.families = families
        self.step = step
        self.cookie = cookie
    }

    init?(parsing bytes: [UInt8]) {
        guard bytes.count == Self.length, let step = Step(rawValue: bytes[7]),
            LoopbackFamilies.both.rawValue & bytes[6] == bytes[6]
        else { return nil }
        (error, port, cookie) = unsafe bytes.withUnsafeBytes { buffer in
            unsafe (
                buffer.load(as: Int32.self), buffer.load(fromByteOffset: 4, as: UInt16.self),
                buffer.load(fromByteOffset: 8, as: UInt64.self)
            )
        }
        families = LoopbackFamilies(rawValue: bytes[6])
        self.step = step
        // Sockets or an error, never both and never neither.
        guard families.isEmpty == (error != 0), (step == .done) == (error == 0) else { return nil }
    }
}

/// The first message of `podidentd-opener`: `struct greeting`.
struct OpenerGreeting: Sendable, Equatable {
    static let length = 8
    private static let version: UInt32 = 1

    var way: Opener.Way

    init?(parsing bytes: [UInt8]) {
        guard bytes.count == Self.length else { return nil }
        let (version, way) = unsafe bytes.withUnsafeBytes { buffer in
            unsafe (buffer.load(as: UInt32.self), buffer.load(fromByteOffset: 4, as: UInt32.self))
        }
        guard version == Self.version, let way = Opener.Way(rawValue: way) else { return nil }
        self.way = way
    }
}
