import Foundation
import Glibc
import Testing

@testable import Operations

/// Tests what commands print, for people and for programs.
@Suite struct OutputTests {
    private static let table: TextTable = {
        var table = TextTable(columns: [
            "ID", .init("NAME", fit: .end), .init("PATH", fit: .start), .init("MORE", fit: .end, isOptional: true),
        ])
        table.append(["1", "a-name-of-20-letters", "/a/path/of/22/letters/", "extra"], styles: [0: .bad])
        table.append(["1234", "b", "/b", ""])
        return table
    }()

    private static func terminal(_ columns: Int?, usesColor: Bool = false) -> Terminal {
        Terminal(isInteractive: true, columns: columns, usesColor: usesColor)
    }

    @Test func `columns are as wide as their widest value, where nothing limits them`() {
        let lines = Self.table.text.split(separator: "\n")
        #expect(lines[0] == "ID    NAME                  PATH                    MORE")
        #expect(lines[1] == "1     a-name-of-20-letters  /a/path/of/22/letters/  extra")
        #expect(lines[2].hasPrefix("1234  b                     /b"))
        #expect(Self.table.text.hasSuffix("\n") && lines.count == 3)
    }

    @Test func `a narrow terminal cuts the widest first, from the end that tells less, and never an identifier`() {
        for columns in 24...60 {
            let text = Self.table.text(on: Self.terminal(columns))
            let lines = text.split(separator: "\n")
            #expect(lines.allSatisfy { $0.count <= columns }, "\(columns): \(text)")
            #expect(lines[1].hasPrefix("1     a-") && lines[2].hasPrefix("1234  b"))
        }
        let cut = Self.table.text(on: Self.terminal(40)).split(separator: "\n")
        #expect(cut[0].hasSuffix("MORE") && cut[1].contains("a-name-of") && cut[1].contains("…"))
        #expect(cut[1].contains("letters/  extra"))
        // Without room for all, what may be left out goes before anything is cut below six characters.
        let narrow = Self.table.text(on: Self.terminal(24)).split(separator: "\n")
        #expect(narrow[0].hasSuffix("PATH") && !narrow[0].contains("MORE"))
        // Narrower than what is never cut: the lines are longer, and whole.
        #expect(Self.table.text(on: Self.terminal(5)).contains("1     a-nam…  …ters/"))
    }

    @Test func `colours count for no column, and stand where colours mean something`() {
        let plain = Self.table.text(on: Self.terminal(nil))
        let colored = Self.table.text(on: Self.terminal(nil, usesColor: true))
        #expect(colored.hasPrefix("\u{1b}[1mID\u{1b}[0m    \u{1b}[1mNAME\u{1b}[0m"))
        #expect(colored.contains("\n\u{1b}[31m1\u{1b}[0m     a-name"))
        let codes = ["\u{1b}[0m", "\u{1b}[1m", "\u{1b}[31m"]
        #expect(codes.reduce(colored) { $0.replacing($1, with: "") } == plain)
        #expect(Self.terminal(nil, usesColor: true).styled("", .bad) == "")
    }

    @Test func `a value of another program's cannot steer the terminal`() {
        var table = TextTable(columns: ["NAME"])
        table.append(["a\u{1b}[2J\nb\u{202e}"])
        #expect(table.text == "NAME\na\u{fffd}[2J\u{fffd}b\u{fffd}\n")
    }

    @Test func `times are told in their two largest units`() {
        for (seconds, text) in [
            (0, "0s"), (59, "59s"), (60, "1m00s"), (200, "3m20s"), (3599, "59m59s"), (3600, "1h00m"), (7500, "2h05m"),
            (86_399, "23h59m"), (86_400, "1d00h"), (356_400, "4d03h"), (-200, "-3m20s"),
        ] {
            #expect(DurationText.short(seconds) == text)
        }
    }

    private struct Value: Encodable {
        var name = "a/b"
        var count: UInt64 = .max
        var none: [Int] = []
    }

    @Test func `a value has four forms, and a series of them one line or document each`() throws {
        func text(_ form: OutputForm, isInSeries: Bool = false) throws -> String {
            try form.text(Value(), isInSeries: isInSeries) { "NAME\na/b\n" }
        }
        #expect(try text(.table) == "NAME\na/b\n")
        #expect(try text(.tree) == "├─ count: 18446744073709551615\n├─ name: a/b\n└─ none: none\n")
        let yaml = "count: 18446744073709551615\nname: \"a/b\"\nnone: []\n"
        #expect(try text(.yaml) == yaml)
        #expect(try text(.yaml, isInSeries: true) == "---\n" + yaml)
        let line = #"{"count":18446744073709551615,"name":"a/b","none":[]}"#
        #expect(try text(.json, isInSeries: true) == line + "\n")
        let lines = try text(.json).split(separator: "\n")
        #expect(lines.first == "{" && lines.count > 4 && lines.joined(separator: "").filter { $0 != " " } == line)
    }

    @Test func `text of others stays on its line, in JSON and beside it`() throws {
        let text = "a\"b\\c\n\u{7f}\u{202e}é"
        let quoted = JSONText.string(text)
        #expect(quoted == #""a\"b\\c\n\u007f\u202eé""#)
        #expect(try JSONDecoder().decode(String.self, from: Data(quoted.utf8)) == text)
        #expect(JSONText.escaped("a b é \"") == "a b é \"")
        #expect(JSONText.escaped("a\nb\u{1f600}\u{e000}") == #"a\u000ab\#u{1f600}\ue000"#)
    }

    @Test func `all bytes are written, or the caller learns that they were not`() throws {
        var ends: [CInt] = [-1, -1]
        let result = unsafe pipe(&ends)
        try #require(result == 0)
        defer { for end in ends { close(end) } }
        #expect(StandardStream.write(Array("text".utf8), to: ends[1]))
        // This end is for reading.
        #expect(!StandardStream.write([1], to: ends[0]) && errno == EBADF)
        #expect(StandardStream.write([], to: -1))
        var bytes = [UInt8](repeating: 0, count: 8)
        let count = unsafe read(ends[0], &bytes, bytes.count)
        #expect(bytes.prefix(max(count, 0)) == Array("text".utf8)[...])
    }
}

/// Tests counters, and the archive of a debug bundle.
@Suite struct RecordFormTests {
    private enum Outcome: String, CaseIterable, Sendable {
        case answered, rateLimited
        case notFoundByURL
    }

    @Test func `every case has a counter from the start, and a label in snake case`() {
        let table = CounterTable<Outcome>()
        table.increment(.rateLimited)
        table.increment(.rateLimited)
        #expect(table.values.map(\.value) == [0, 2, 0] && table[.rateLimited] == 2)
        #expect(table.values.map(\.key) == Outcome.allCases)
        #expect(table.samples.map(\.labels) == [["answered"], ["rate_limited"], ["not_found_by_u_r_l"]])
    }

    @Test func `a process's figures are read behind its name, whatever that is`() throws {
        let fields = (3...52).map { $0 == 3 ? "S" : String($0 * 100) }.joined(separator: " ")
        let ticks = Double(sysconf(Int32(_SC_CLK_TCK)))
        for name in ["agent", "a) S (b", "", ") ) )"] {
            let stat = try #require(ProcessMetrics.Stat("1 (\(name)) \(fields)\n"))
            #expect(stat.cpuSeconds == (1400 + 1500) / ticks && stat.startSeconds == 2200 / ticks)
            #expect(stat.virtualBytes == 2300)
            #expect(stat.residentBytes == 2400 * UInt64(sysconf(Int32(_SC_PAGESIZE))))
        }
        for text in ["", "1 (agent", "1 (agent) S 4 5", "1 (agent) " + fields.replacing("1400", with: "x")] {
            #expect(ProcessMetrics.Stat(text) == nil, "\(text)")
        }
    }

    @Test func `an archive is whole blocks, its names are cut, and its end is two empty ones`() {
        var archive = TarArchive(modified: -1)
        #expect(archive.bytes == [UInt8](repeating: 0, count: 1024))
        archive.append(String(repeating: "n", count: 101), [1, 2, 3])
        archive.append("empty", [])
        archive.append("whole", [UInt8](repeating: 7, count: 512))
        let bytes = archive.bytes
        #expect(bytes.count == 512 * (2 + 1 + 2 + 2))
        let first = bytes.prefix(512)
        #expect(
            first.prefix(100).allSatisfy { $0 == UInt8(ascii: "n") } && first[100...106] == Array("0000600".utf8)[...])
        #expect(
            first[124...134] == Array("00000000003".utf8)[...] && first[136...146] == Array("00000000000".utf8)[...])
        // The checksum counts its own field as blanks.
        let sum = first.enumerated().reduce(0) { $0 + ((148...155).contains($1.offset) ? 32 : Int($1.element)) }
        let digits = String(sum, radix: 8)
        let expected = String(repeating: "0", count: 6 - digits.count) + digits + "\0 "
        #expect(String(decoding: first[148...155], as: UTF8.self) == expected)
    }
}
