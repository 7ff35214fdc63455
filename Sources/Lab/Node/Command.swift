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
    private let process: Process
    private let outputReader: Task<String, Never>
    private let errorReader: Task<String, Never>

    /// The lines of its standard error so far.
    package let errorLines = EventLog<String>()

    package var processIdentifier: Int32 { process.processIdentifier }
    package var isRunning: Bool { process.isRunning }

    /// Starts `arguments`, found along `PATH`, with `input` on its standard input.
    package init(_ arguments: [String], environment: [String: String] = [:], input: String? = nil) throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = arguments
        if !environment.isEmpty {
            process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        }
        let output = Pipe()
        let errorOutput = Pipe()
        process.standardOutput = output
        process.standardError = errorOutput
        let inputPipe = Pipe()
        process.standardInput = inputPipe
        try process.run()
        try inputPipe.fileHandleForWriting.write(contentsOf: Data((input ?? "").utf8))
        try inputPipe.fileHandleForWriting.close()
        self.process = process
        let outputHandle = output.fileHandleForReading
        let errorHandle = errorOutput.fileHandleForReading
        let errorLines = errorLines
        outputReader = Task {
            await onThread { String(decoding: (try? outputHandle.readToEnd()) ?? Data(), as: UTF8.self) }
        }
        errorReader = Task { await onThread { Self.readLines(from: errorHandle, into: errorLines) } }
    }

    private static func readLines(from handle: FileHandle, into lines: EventLog<String>) -> String {
        var text: [UInt8] = []
        var begun = 0
        while case let data = handle.availableData, !data.isEmpty {
            text.append(contentsOf: data)
            while let end = text[begun...].firstIndex(of: UInt8(ascii: "\n")) {
                lines.record(String(decoding: text[begun..<end], as: UTF8.self))
                begun = end + 1
            }
        }
        return String(decoding: text, as: UTF8.self)
    }

    /// Sends a signal, unless the command has ended.
    package func signal(_ number: Int32) {
        if process.isRunning { kill(processIdentifier, number) }
    }

    /// Waits for the end.
    package func result() async -> CommandResult {
        let output = await outputReader.value
        let errorOutput = await errorReader.value
        let process = process
        await onThread { process.waitUntilExit() }
        let status =
            process.terminationReason == .uncaughtSignal
            ? 128 + process.terminationStatus : process.terminationStatus
        return CommandResult(status: status, output: output, errorOutput: errorOutput)
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
