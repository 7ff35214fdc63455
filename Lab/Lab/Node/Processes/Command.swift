import Foundation

/// The outcome of a finished command.
package struct CommandResult: Sendable {
    /// The exit status, or 128 plus the signal's number.
    package let status: Int32
    package let output: String
    package let errorOutput: String

    package var succeeded: Bool { status == 0 }
}

/// A running command with its output collected.
package final class Command: Sendable {
    private let process: LabProcess
    private let outputs: Task<(output: String, errors: String), Never>

    /// The lines of its standard error so far.
    package let errorLines = EventLog<String>(capacity: 32_768)

    package var processIdentifier: Int32 { process.identifier }
    package var isRunning: Bool { process.isRunning }

    /// Starts `arguments`, found along `PATH`, with `input` on its standard input.
    package init(_ arguments: [String], environment: [String: String] = [:], input: String? = nil) throws {
        let (inputPipe, output, errors) = (try LabPipe(), try LabPipe(), try LabPipe())
        let process = try LabProcess(
            arguments, environment: environment, input: inputPipe.reader, output: output.writer, errors: errors.writer)
        try output.writer.close()
        try errors.writer.close()
        self.process = process
        let readers = [output.reader, errors.reader]
        let errorLines = errorLines
        outputs = Task { await onThread { Self.read(readers, of: process, into: errorLines) } }
        try inputPipe.writer.write(contentsOf: Data((input ?? "").utf8))
        try inputPipe.writer.close()
        // Only now: to write to a command that has ended must not end this process.
        try inputPipe.reader.close()
    }

    private static func read(
        _ readers: [FileHandle], of process: LabProcess, into lines: EventLog<String>
    ) -> (output: String, errors: String) {
        var texts: [[UInt8]] = [[], []]
        var begun = 0
        process.read(from: readers) { index, bytes in
            texts[index] += bytes
            while index == 1, let end = texts[1][begun...].firstIndex(of: UInt8(ascii: "\n")) {
                lines.record(String(decoding: texts[1][begun..<end], as: UTF8.self))
                begun = end + 1
            }
        }
        return (String(decoding: texts[0], as: UTF8.self), String(decoding: texts[1], as: UTF8.self))
    }

    /// Sends a signal, unless the command has ended.
    package func signal(_ number: Int32) {
        process.signal(number)
    }

    /// Sends a signal, and waits for the end.
    package func end(by number: Int32) async -> CommandResult {
        signal(number)
        return await result()
    }

    /// Waits for the end.
    package func result() async -> CommandResult {
        let (output, errors) = await outputs.value
        let process = process
        let status = await onThread { process.wait() }
        return CommandResult(status: status, output: output, errorOutput: errors)
    }

    /// Runs a command to its end.
    @discardableResult
    package static func run(
        _ arguments: [String], environment: [String: String] = [:], input: String? = nil
    ) async throws -> CommandResult {
        try await Command(arguments, environment: environment, input: input).result()
    }

    /// Runs a command that must succeed.
    @discardableResult
    package static func require(_ arguments: [String], input: String? = nil) async throws -> String {
        let result = try await run(arguments, input: input)
        guard result.succeeded else {
            let words = result.errorOutput.trimmingCharacters(in: .whitespacesAndNewlines)
            throw LabError("'\(arguments.joined(separator: " "))' ended with status \(result.status): \(words)")
        }
        return result.output
    }
}

/// Runs something that blocks on a thread of its own.
func onThread<Value: Sendable>(_ body: @escaping @Sendable () -> Value) async -> Value {
    await withCheckedContinuation { continuation in
        Thread { continuation.resume(returning: body()) }.start()
    }
}
