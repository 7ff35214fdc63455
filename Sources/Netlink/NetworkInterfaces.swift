import Glibc

/// One interface of a network namespace.
package struct NetworkInterface: Sendable, Equatable {
    package var index: UInt32
    package var name: String
    /// `ARPHRD_…` of linux/if_arp.h.
    package var type: UInt16
    /// The driver's name for virtual interfaces: `veth`, `bridge`, `ipvlan`; empty for others.
    package var kind: String
    /// The interface that it is a port of, such as a bridge; 0: none.
    package var master: UInt32
    /// Whether it has an IP address that is valid beyond its link.
    package var hasAddress = false

    package init(
        index: UInt32, name: String, type: UInt16, kind: String, master: UInt32 = 0, hasAddress: Bool = false
    ) {
        self.index = index
        self.name = name
        self.type = type
        self.kind = kind
        self.master = master
        self.hasAddress = hasAddress
    }
}

/// Lists the interfaces of the network namespace of the thread that made this value.
///
/// The socket is opened once, so that a process that may open no more of its kind can go on asking.
package struct NetworkInterfaces: ~Copyable, Sendable {
    private let descriptor: CInt
    /// The number of the latest request.
    private var sequence: UInt32 = 0

    // linux/rtnetlink.h, linux/if_link.h.
    private static let netlinkFamily: CInt = 16
    private static let route: CInt = 0
    private static let getLink: UInt16 = 18
    private static let getAddress: UInt16 = 22
    private static let request: UInt16 = 0x1
    private static let dump: UInt16 = 0x300
    private static let nameAttribute: UInt16 = 3
    private static let masterAttribute: UInt16 = 10
    private static let infoAttribute: UInt16 = 18
    private static let infoKind: UInt16 = 1
    private static let addressAttribute: UInt16 = 1
    private static let localAttribute: UInt16 = 2
    /// `RT_SCOPE_LINK`: addresses of this scope or a narrower one say nothing.
    private static let linkScope: UInt8 = 253

    private static let answerBytesMax = 64 * 1024

    package init() throws(NetlinkError) {
        descriptor = socket(
            Self.netlinkFamily, CInt(SOCK_RAW.rawValue | SOCK_CLOEXEC.rawValue), Self.route)
        guard descriptor >= 0 else { throw NetlinkError("open a netlink socket for routes", errorNumber: errno) }
        var limit = timeval(tv_sec: 5, tv_usec: 0)
        unsafe setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    }

    deinit {
        close(descriptor)
    }

    /// Every interface, by index.
    package mutating func list() throws(NetlinkError) -> [NetworkInterface] {
        var interfaces: [UInt32: NetworkInterface] = [:]
        for message in try dump(Self.getLink, "list the network interfaces") where message.count >= 16 {
            // struct ifinfomsg: family, padding, type, index, flags, change.
            let attributes = NetlinkAttributeReader(message.dropFirst(16))
            let kind = attributes[Self.infoAttribute].flatMap { NetlinkAttributeReader($0)[Self.infoKind] }
            let index = message.host32(at: 4)
            interfaces[index] = NetworkInterface(
                index: index, name: Self.text(attributes[Self.nameAttribute]), type: message.host16(at: 2),
                kind: Self.text(kind), master: attributes[Self.masterAttribute].map { $0.host32(at: 0) } ?? 0)
        }
        for message in try dump(Self.getAddress, "list the network addresses") where message.count >= 8 {
            // struct ifaddrmsg: family, prefix length, flags, scope, index.
            guard message[message.startIndex + 3] < Self.linkScope else { continue }
            interfaces[message.host32(at: 4)]?.hasAddress = true
        }
        return interfaces.values.sorted { $0.index < $1.index }
    }

    /// The bytes of every IP address of the network namespace.
    package mutating func addresses() throws(NetlinkError) -> [[UInt8]] {
        try dump(Self.getAddress, "list the network addresses").compactMap { message in
            guard message.count >= 8 else { return nil }
            let attributes = NetlinkAttributeReader(message.dropFirst(8))
            // Where both are there, the link has two ends, and the other one is the peer's.
            return (attributes[Self.localAttribute] ?? attributes[Self.addressAttribute]).map { Array($0) }
        }
    }

    private static func text(_ bytes: ArraySlice<UInt8>?) -> String {
        String(decoding: (bytes ?? []).prefix { $0 != 0 }, as: UTF8.self)
    }

    /// Sends a request for all of something, and returns the messages of the answer without their headers.
    private mutating func dump(_ type: UInt16, _ operation: String) throws(NetlinkError) -> [ArraySlice<UInt8>] {
        let (descriptor, latest) = (descriptor, sequence)
        // No two requests have the same number, whatever becomes of the first.
        sequence &+= NetlinkDump.attemptsMax
        return try NetlinkDump.whole(operation) { attempt throws(NetlinkError) in
            try Self.answer(to: type, sequence: latest &+ attempt, over: descriptor, operation)
        }
    }

    private static func answer(
        to type: UInt16, sequence: UInt32, over descriptor: CInt, _ operation: String
    ) throws(NetlinkError) -> NetlinkDump.Outcome {
        var bytes: [UInt8] = []
        bytes.append(host: UInt32(NetlinkDump.headerBytes + 16))
        bytes.append(host: type)
        bytes.append(host: Self.request | Self.dump)
        bytes.append(host: sequence)
        bytes += [UInt8](repeating: 0, count: 4 + 16)
        try NetlinkExchange.send(bytes, over: descriptor, operation)
        // The kernel gives a socket its port with the first message.
        var answer = NetlinkDump(sequence: sequence, port: try NetlinkExchange.port(of: descriptor, operation))
        while true {
            let part = try NetlinkExchange.receive(atMost: Self.answerBytesMax, from: descriptor, operation)
            if let outcome = answer.take(part) { return outcome }
        }
    }
}
