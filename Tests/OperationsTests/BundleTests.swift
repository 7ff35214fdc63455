import Foundation
import Logging
import Operations
import Testing

@Suite struct BundleTests {
    @Test("a bundle is an archive that tar reads, with every file at mode 0600")
    func tar() throws {
        var bundle = DebugBundle(modified: 1_700_000_000)
        bundle.add("a.txt", String(repeating: "x", count: 513))
        bundle.add("empty.txt", "")
        bundle.note("tokens", "no agent")
        let path = FileManager.default.temporaryDirectory.appending(path: "bundle-\(UUID()).tar").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        try Data(bundle.finished()).write(to: URL(filePath: path))
        let listing = try run("tar", "-tvf", path)
        #expect(listing.split(separator: "\n").map { $0.prefix(10) } == ["-rw-------", "-rw-------", "-rw-------"])
        #expect(listing.contains("2023-11-14") && listing.contains(" 513 "))
        #expect(try run("tar", "-xOf", path, "podidentd-debug/a.txt") == String(repeating: "x", count: 513))
        #expect(try run("tar", "-xOf", path, "podidentd-debug/missing.txt") == "tokens: no agent\n")
    }

    @Test("the log keeps its last lines, oldest first, and never a line without bound")
    func recentLog() {
        let log = RecentLog(limit: 3, lineLimit: 8)
        for number in 1...5 { log.record("line \(number), which is long") }
        #expect(log.lines == ["line 3, ", "line 4, ", "line 5, "])
        var logger = Logger(label: "x") { _ in log.keeping(SwiftLogNoOpLogHandler()) }
        logger.logLevel = .debug
        logger.debug("x")
        #expect(log.lines.count == 3 && log.lines.last?.hasPrefix("20") == true)
    }

    private func run(_ arguments: String...) throws -> String {
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = arguments
        process.environment = ["TZ": "UTC", "PATH": "/usr/bin:/bin"]
        let pipe = Pipe()
        process.standardOutput = pipe
        try process.run()
        let data = try pipe.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        #expect(process.terminationStatus == 0)
        return String(decoding: data, as: UTF8.self)
    }
}
