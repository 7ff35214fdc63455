import AgentTesting
import Foundation
import Lab

/// The clock of one process, which can be set without setting anybody else's.
struct ProcessClock: Sendable {
    private let file: String
    private let library: String

    /// Makes what the process is to be started with, in `directory`.
    init(in directory: String) async throws {
        file = directory + "/clock-offset"
        library = directory + "/clock.so"
        try step(to: 0)
        let source = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appending(path: "../Shims/clock.c")
        // The compiler lies beside Swift's.
        let script = #"""
            "$(dirname "$(realpath "$(command -v "${SWIFT:-swift}")")")/clang" -O1 -shared -fPIC -o "$0" "$1"
            """#
        try await Command.require(["sh", "-c", script, library, source.path])
    }

    /// The clock of a process that was started in `directory` before.
    init(startedIn directory: String) {
        file = directory + "/clock-offset"
        library = directory + "/clock.so"
    }

    /// The command that runs another one by this clock.
    var prefix: [String] { ["env", "LD_PRELOAD=\(library)", "CLOCK_OFFSET_FILE=\(file)"] }

    /// Sets the clock so many seconds ahead of everybody's, at once.
    func step(to seconds: Int64) throws {
        let bytes = unsafe withUnsafeBytes(of: seconds.littleEndian) { unsafe Data($0) }
        guard FileManager.default.fileExists(atPath: file) else { return try bytes.write(to: URL(filePath: file)) }
        // In place: the process has mapped it.
        let handle = try FileHandle(forWritingTo: URL(filePath: file))
        try handle.write(contentsOf: bytes)
        try handle.close()
    }
}
