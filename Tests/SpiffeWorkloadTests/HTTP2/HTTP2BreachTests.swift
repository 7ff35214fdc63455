import NIOCore
import NIOHPACK
import Testing

@testable import SpiffeWorkload

/// The frames that a client may not send, by section of RFC 9113, and the error that each ends with.
@Suite(.timeLimit(.minutes(10))) struct HTTP2BreachTests {
    /// One breach: bytes after the preface.
    struct Breach: Sendable, CustomTestStringConvertible {
        let section: String
        let code: HTTP2ErrorCode
        let bytes: [UInt8]

        init(_ section: String, _ code: HTTP2ErrorCode, _ bytes: [UInt8]) {
            self.section = section
            self.code = code
            self.bytes = bytes
        }

        var testDescription: String { section }
    }

    private static func frame(
        _ type: HTTP2FrameType, flags: UInt8 = 0, stream: Int = 0, _ payload: [UInt8] = []
    ) -> [UInt8] {
        RawConnection.frame(type, flags: flags, stream: stream, payload)
    }

    private static func zeros(_ count: Int) -> [UInt8] { [UInt8](repeating: 0, count: count) }

    private static func times(_ count: Int, _ bytes: [UInt8]) -> [UInt8] { (0..<count).flatMap { _ in bytes } }

    /// A head of three entries of the static table (POST, http, /), and of the bytes `more`.
    private static func head(_ stream: Int, flags: UInt8 = 0x4, _ more: [UInt8] = []) -> [UInt8] {
        frame(.headers, flags: flags, stream: stream, [0x83, 0x86, 0x84] + more)
    }

    static let framing: [Breach] = [
        Breach("4.2: a frame beyond SETTINGS_MAX_FRAME_SIZE", .frameSizeError, frame(.data, stream: 1, zeros(16_385))),
        Breach("5.1: DATA on an idle stream", .protocolError, frame(.data, stream: 1)),
        Breach("5.1: RST_STREAM on an idle stream", .protocolError, frame(.reset, stream: 1, zeros(4))),
        Breach("5.1: WINDOW_UPDATE on an idle stream", .protocolError, RawConnection.windowUpdate(1, 1)),
        Breach("5.1.1: a stream with an even number", .protocolError, head(2)),
        Breach("5.1.1: a number below one that was used", .streamClosed, head(5) + head(3)),
        Breach("6.1: DATA on stream 0", .protocolError, frame(.data)),
        Breach("6.1: padding as long as the payload", .protocolError, frame(.data, flags: 8, stream: 1, [4, 0, 0, 0])),
        Breach("6.1: a padded frame without a length", .frameSizeError, frame(.data, flags: 8, stream: 1)),
        Breach("6.2: HEADERS on stream 0", .protocolError, head(0)),
        Breach("6.2: padding beyond the payload", .protocolError, frame(.headers, flags: 0xc, stream: 1, [9, 0])),
        Breach("6.2: half a priority", .frameSizeError, frame(.headers, flags: 0x24, stream: 1, zeros(4))),
        Breach("6.3: PRIORITY on stream 0", .protocolError, frame(.priority, zeros(5))),
        Breach("6.3: PRIORITY of four bytes", .frameSizeError, frame(.priority, stream: 1, zeros(4))),
        Breach("6.4: RST_STREAM on stream 0", .protocolError, frame(.reset, zeros(4))),
        Breach("6.4: RST_STREAM of three bytes", .frameSizeError, head(1) + frame(.reset, stream: 1, zeros(3))),
        Breach("6.5: SETTINGS on a stream", .protocolError, frame(.settings, stream: 1)),
        Breach("6.5: an acknowledgement with settings", .frameSizeError, frame(.settings, flags: 1, zeros(6))),
        Breach("6.5: half a setting", .frameSizeError, frame(.settings, zeros(5))),
        Breach("6.5.2: SETTINGS_ENABLE_PUSH of 2", .protocolError, RawConnection.setting(2, 2)),
        Breach("6.5.2: a window beyond 2^31-1", .flowControlError, RawConnection.setting(4, 1 << 31)),
        Breach("6.5.2: SETTINGS_MAX_FRAME_SIZE of 16383", .protocolError, RawConnection.setting(5, 16_383)),
        Breach("6.5.2: SETTINGS_MAX_FRAME_SIZE of 2^24", .protocolError, RawConnection.setting(5, 1 << 24)),
        Breach("6.6: PUSH_PROMISE from a client", .protocolError, frame(.pushPromise, stream: 1, zeros(4))),
        Breach("6.7: PING on a stream", .protocolError, frame(.ping, stream: 1, zeros(8))),
        Breach("6.7: PING of seven bytes", .frameSizeError, frame(.ping, zeros(7))),
        Breach("6.8: GOAWAY on a stream", .protocolError, frame(.goAway, stream: 1, zeros(8))),
        Breach("6.8: GOAWAY of seven bytes", .frameSizeError, frame(.goAway, zeros(7))),
        Breach("6.9: WINDOW_UPDATE of three bytes", .frameSizeError, frame(.windowUpdate, zeros(3))),
        Breach("6.9: no increment for the connection", .protocolError, RawConnection.windowUpdate(0, 0)),
        Breach(
            "6.9.1: the connection's window overflows", .flowControlError, RawConnection.windowUpdate(0, 0x7fff_ffff)),
        Breach("6.10: CONTINUATION without HEADERS", .protocolError, frame(.continuation, flags: 4, stream: 1)),
        Breach(
            "6.10: CONTINUATION on another stream", .protocolError, head(1, flags: 0) + frame(.continuation, stream: 3)),
        Breach("6.10: a frame inside a header block", .protocolError, head(1, flags: 0) + frame(.ping, zeros(8))),
        Breach(
            "6.10: an unknown frame inside a header block", .protocolError,
            head(1, flags: 0) + RawConnection.frame(type: 0x20)),
    ]

    static let compression: [Breach] = [
        Breach("4.3: index 0", .compressionError, frame(.headers, flags: 4, stream: 1, [0x80])),
        Breach("4.3: an index beyond the tables", .compressionError, frame(.headers, flags: 4, stream: 1, [0xc6])),
        Breach(
            "4.3: a string beyond the block", .compressionError, frame(.headers, flags: 4, stream: 1, [0x40, 5, 0x61])),
        Breach(
            "4.3: a table beyond the limit", .compressionError,
            frame(.headers, flags: 4, stream: 1, [0x3f, 0xe2, 0x1f])),
        Breach("4.3: a number without end", .compressionError, frame(.headers, flags: 4, stream: 1, times(12, [0xff]))),
        Breach(
            "4.3: trailers that are no block", .compressionError, head(1) + frame(.headers, flags: 5, stream: 1, [0x80])
        ),
    ]

    static let floods: [Breach] = [
        Breach("10.5: PINGs", .enhanceYourCalm, times(201, frame(.ping, zeros(8)))),
        Breach("10.5: SETTINGS", .enhanceYourCalm, times(200, RawConnection.settings)),
        Breach("10.5: many settings in one frame", .enhanceYourCalm, frame(.settings, zeros(6 * 33))),
        Breach("10.5: PRIORITY", .enhanceYourCalm, times(201, frame(.priority, stream: 1, zeros(5)))),
        Breach("10.5: frames of no known type", .enhanceYourCalm, times(201, RawConnection.frame(type: 0x20))),
        Breach("10.5: acknowledgements", .enhanceYourCalm, times(201, frame(.settings, flags: 1))),
        Breach("10.5: empty DATA", .enhanceYourCalm, head(1) + times(2, frame(.data, stream: 1))),
        Breach(
            "10.5: CONTINUATIONs without end", .enhanceYourCalm,
            head(1, flags: 0) + times(6, frame(.continuation, stream: 1))),
        Breach(
            "10.5.1: a header block beyond the limit", .enhanceYourCalm,
            head(1, flags: 0, zeros(16_000)) + frame(.continuation, flags: 4, stream: 1, zeros(400))),
        // One header of 4,000 bytes, which is then named by one byte each time.
        Breach(
            "10.5.1: a small block that is a large list", .enhanceYourCalm,
            head(1, [0x40, 1, 0x61, 0x7f, 0xa1, 0x1e] + times(4000, [0x62]) + times(5, [0xbe]))),
        Breach(
            "10.5: streams that are reset before their answer", .enhanceYourCalm,
            streams { call($0) + frame(.reset, stream: $0, zeros(4)) }),
        Breach(
            "10.5: windows that are opened by single bytes while an answer waits", .enhanceYourCalm,
            RawConnection.setting(4, 0) + call(1) + RawConnection.data(1)
                + times(201, RawConnection.windowUpdate(1, 1))),
        Breach(
            "10.5: header blocks on a stream that has its answer", .enhanceYourCalm,
            head(1, flags: 4) + times(210, head(1))),
        // The name "A".
        Breach(
            "10.5: streams with errors", .enhanceYourCalm,
            streams { head($0, [0, 1, 0x41, 1, 0x78]) }),
    ]

    /// The bytes of each of 201 streams.
    private static func streams(_ bytes: (Int) -> [UInt8]) -> [UInt8] {
        var all: [UInt8] = []
        for number in 0..<201 { all += bytes(2 * number + 1) }
        return all
    }

    /// A head that begins a call, without a message, of literals.
    private static func call(_ stream: Int) -> [UInt8] {
        frame(.headers, flags: 4, stream: stream, FieldBlock(RawConnection.fields()).bytes)
    }

    @Test("a breach of the connection ends it, with its code", arguments: framing + compression + floods)
    func connection(breach: Breach) async throws {
        let connection = try await RawConnection(try FakeSigner())
        try await connection.begin()
        let sent = try await connection.exchange(breach.bytes)
        let last = try #require(sent.last, "\(breach.section): nothing was sent")
        #expect(last.hasPrefix("GOAWAY ") && last.hasSuffix(" \(breach.code.rawValue)"), "\(breach.section): \(sent)")
        #expect(connection.isClosed, "\(breach.section)")
        #expect(connection.store.holdings.streams == 0 && connection.store.budget.total == 0)
        try await connection.close()
    }

    @Test("3.4: another protocol is closed without a word, and a preface without SETTINGS with an error")
    func prefaces() async throws {
        for bytes in [
            Array("GET / HTTP/1.1\r\nHost: x\r\n\r\n".utf8), [0x16, 3, 1], Array("PRI * HTTP/2.0\r\n\r\nSX".utf8),
        ] {
            let connection = try await RawConnection(try FakeSigner())
            #expect(try await connection.exchange(bytes) == [])
            #expect(connection.isClosed)
        }
        for first in [Self.frame(.ping, Self.zeros(8)), Self.frame(.settings, flags: 1), Self.head(1)] {
            let connection = try await RawConnection(try FakeSigner())
            #expect(try await connection.exchange(FrameReader.preface + first) == ["SETTINGS 12", "GOAWAY 0 1"])
            #expect(connection.isClosed)
        }
    }

    @Test("8.1 to 8.3: a malformed request ends its stream, and the next is served")
    func malformed() async throws {
        func change(_ name: String, _ value: String?) -> [(String, String)] {
            RawConnection.fields().compactMap { field in field.0 == name ? value.map { (name, $0) } : field }
        }
        let fields = RawConnection.fields()
        let cases: [(String, [(String, String)])] = [
            ("a capital", fields + [("Accept", "x")]), ("a space in a name", fields + [("a b", "x")]),
            ("a colon in a name", fields + [("a:b", "x")]), ("a line feed", fields + [("a", "x\ny")]),
            ("a null", fields + [("a", "x\0")]), ("a space before", fields + [("a", " x")]),
            ("a space after", fields + [("a", "x ")]), ("connection", fields + [("connection", "close")]),
            ("upgrade", fields + [("upgrade", "h2c")]), ("chunks", fields + [("transfer-encoding", "chunked")]),
            ("te", change("te", "gzip")), ("no method", change(":method", nil)), ("no scheme", change(":scheme", nil)),
            ("no path", change(":path", nil)), ("an empty path", change(":path", "")),
            ("two methods", [(":method", "POST")] + fields), ("a pseudo-header late", fields + [(":authority", "x")]),
            ("an unknown pseudo-header", [(":protocol", "x")] + fields), ("a status", [(":status", "200")] + fields),
            ("CONNECT with a path", change(":method", "CONNECT")),
            ("a bad length", fields + [("content-length", "+5")]),
            ("two lengths", fields + [("content-length", "5"), ("content-length", "6")]),
        ]
        let connection = try await RawConnection(try FakeSigner())
        try await connection.begin()
        var stream = 1
        for (name, fields) in cases {
            // Literals: another encoder would make small letters of capitals.
            let head = Self.frame(.headers, flags: 4, stream: stream, FieldBlock(fields).bytes)
            let sent = try await connection.exchange(head + RawConnection.data(stream))
            #expect(sent == ["RST \(stream) 1"], "\(name)")
            stream += 2
        }
        #expect(try await connection.exchange(connection.call(stream)).first == "HEADERS \(stream) 200")
        try await connection.close()
    }

    @Test("8.1.1: a body that is longer or shorter than its header says ends the stream")
    func lengths() async throws {
        let connection = try await RawConnection(try FakeSigner())
        try await connection.begin()
        func head(_ stream: Int, _ length: String, isLast: Bool = false) throws -> [UInt8] {
            try connection.head(
                stream, RawConnection.fields("FetchJWTSVID", [("content-length", length)]), isLast: isLast)
        }
        #expect(try await connection.exchange(head(1, "4") + RawConnection.data(1, isLast: false)) == ["RST 1 1"])
        #expect(try await connection.exchange(head(3, "12") + RawConnection.data(3, [0, 0])) == ["RST 3 1"])
        #expect(try await connection.exchange(head(5, "1", isLast: true)) == ["RST 5 1"])
        #expect(try await connection.exchange(connection.head(7) + connection.head(7, [("a", "b")])) == ["RST 7 1"])
        #expect(
            try await connection.exchange(connection.head(9) + connection.head(9, [(":path", "/")], isLast: true))
                == ["RST 9 1"])
        try await connection.close()
    }

    @Test("5.1, 6.9: frames that break the state of one stream end that stream")
    func streams() async throws {
        let connection = try await RawConnection(try FakeSigner()) { $0.streamsPerConnection = 2 }
        try await connection.begin()
        // A stream of messages, whose request has ended.
        for stream in [1, 3] {
            let sent = try await connection.exchange(connection.call(stream))
            #expect(sent.count == 2 && sent.first == "HEADERS \(stream) 200", "\(sent)")
        }
        #expect(try await connection.exchange(connection.call(5)) == ["RST 5 7"], "5.1.2: one more than may be open")
        #expect(try await connection.exchange(RawConnection.data(1)) == ["RST 1 5"], "5.1: DATA after the end")
        #expect(try await connection.exchange(RawConnection.windowUpdate(3, 0)) == ["RST 3 1"])
        #expect(try await connection.exchange(connection.call(7)).count == 2)
        #expect(try await connection.exchange(RawConnection.windowUpdate(7, 0x7fff_ffff)) == ["RST 7 3"])
        #expect(try await connection.exchange(RawConnection.data(7) + RawConnection.windowUpdate(7, 1)) == [])
        #expect(connection.store.holdings.streams == 0)
        // 6.9: more than the window of a stream whose bytes are not wanted any more.
        #expect(try await connection.exchange(connection.head(9) + RawConnection.data(9, isLast: false)).count == 2)
        var sent: [String] = []
        for _ in 0..<5 {
            sent += try await connection.exchange(RawConnection.data(9, Self.zeros(16_000), isLast: false))
        }
        #expect(sent.filter { !$0.hasPrefix("WINDOW_UPDATE 0 ") } == ["RST 9 3"], "\(sent)")
        try await connection.close()
    }
}
