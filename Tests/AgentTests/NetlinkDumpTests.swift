import Glibc
import Testing

@testable import Netlink

/// Lists over netlink, as bytes.
@Suite struct NetlinkDumpTests {
    private static let sequence: UInt32 = 7
    private static let port: UInt32 = 4711
    private static let (link, error, done): (UInt16, UInt16, UInt16) = (16, 2, 3)
    private static let interrupted: UInt16 = 0x10

    /// One message of the kernel's, padded to four bytes.
    private static func message(
        _ type: UInt16, _ body: [UInt8] = [], flags: UInt16 = 2, sequence: UInt32 = NetlinkDumpTests.sequence,
        port: UInt32 = NetlinkDumpTests.port
    ) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.append(host: UInt32(16 + body.count))
        bytes.append(host: type)
        bytes.append(host: flags)
        bytes.append(host: sequence)
        bytes.append(host: port)
        bytes += body
        bytes.pad()
        return bytes
    }

    private static func code(_ number: CInt) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.append(host: UInt32(bitPattern: -number))
        return bytes
    }

    /// How the answer ends that arrives in these parts.
    private static func outcome(_ parts: [UInt8]...) -> NetlinkDump.Outcome? {
        var dump = NetlinkDump(sequence: sequence, port: port)
        for part in parts {
            if let outcome = dump.take(part[...]) { return outcome }
        }
        return nil
    }

    @Test("the messages of all parts are the list, once its end is there")
    func whole() {
        let first = Self.message(Self.link, [1, 2, 3]) + Self.message(Self.link, [4])
        #expect(Self.outcome(first) == nil)
        #expect(
            Self.outcome(first, Self.message(Self.link, [5, 6]), Self.message(Self.done, Self.code(0)))
                == .complete([[1, 2, 3], [4], [5, 6]]))
        #expect(Self.outcome(Self.message(Self.done)) == .complete([]))
    }

    @Test("the answer to another request, or to another socket, is left out, also its end and its error")
    func others() {
        let earlier =
            Self.message(Self.link, [9], sequence: 6) + Self.message(Self.done, Self.code(0), sequence: 6)
            + Self.message(Self.error, Self.code(EBUSY), sequence: 6)
        let elsewhere = Self.message(Self.link, [8], port: 1) + Self.message(Self.done, Self.code(0), port: 1)
        #expect(Self.outcome(earlier + elsewhere) == nil)
        #expect(
            Self.outcome(earlier + Self.message(Self.link, [1]), elsewhere + Self.message(Self.done, Self.code(0)))
                == .complete([[1]]))
    }

    @Test("a list that changed meanwhile is read to its end and is none", arguments: [0, 1, 2])
    func changed(_ place: Int) {
        let types: [(UInt16, [UInt8])] = [(Self.link, [1]), (Self.link, [2]), (Self.done, Self.code(0))]
        let parts = types.enumerated().map { index, type in
            Self.message(type.0, type.1, flags: index == place ? 2 | Self.interrupted : 2)
        }
        #expect(Self.outcome(parts[0], parts[1]) == nil)
        #expect(Self.outcome(parts[0], parts[1], parts[2]) == .interrupted)
    }

    @Test("an error ends the answer, in its own message or in the last one")
    func failures() {
        #expect(Self.outcome(Self.message(Self.error, Self.code(EPERM))) == .failed(EPERM))
        #expect(Self.outcome(Self.message(Self.error)) == .failed(EPROTO))
        #expect(
            Self.outcome(Self.message(Self.link, [1]), Self.message(Self.done, Self.code(ENOBUFS)))
                == .failed(ENOBUFS))
    }

    @Test("bytes that are no message end the part")
    func malformed() {
        var long = Self.message(Self.link, [1])
        long[0] = 200
        #expect(Self.outcome([], [1, 2, 3], long, Self.message(Self.done)) == .complete([]))
    }

    @Test("a list that changed is made again, and an end is put to that in words")
    func repetitions() throws {
        var attempts: [UInt32] = []
        let list = try NetlinkDump.whole("list the interfaces") { attempt throws(NetlinkError) in
            attempts.append(attempt)
            return attempt == 3 ? .complete([[1]]) : .interrupted
        }
        #expect(list == [[1]] && attempts == [1, 2, 3])

        attempts = []
        do throws(NetlinkError) {
            let list = try NetlinkDump.whole("list the interfaces") { attempt throws(NetlinkError) in
                attempts.append(attempt)
                return .interrupted
            }
            Issue.record("a list that always changes is \(list)")
        } catch {
            #expect(error.description.contains("changed during each of 5 attempts"))
        }
        #expect(attempts == [1, 2, 3, 4, 5])
        #expect(throws: NetlinkError("list the interfaces", errorNumber: EPERM)) {
            try NetlinkDump.whole("list the interfaces") { _ throws(NetlinkError) in .failed(EPERM) }
        }
    }
}
