import Foundation

/// A process that sits in a pod and makes one exchange at a time, when told to: from there, or from another cgroup that
/// it enters for the purpose. So many short-lived pods cost no process each.
package final class Visitor: Sendable {
    private let process: Process
    private let requests: FileHandle
    private let results: FileHandle

    /// Starts it inside `home`, whose network namespace it keeps.
    package init(in home: RunningPod, of world: LabWorld) throws {
        let processes = world.node.cgroupDirectory(home.containerCgroup) + "/cgroup.procs"
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = home.commandLine([world.binaries + "/podidentd-lab", "visit", "--home", processes])
        let (input, output) = (Pipe(), Pipe())
        process.standardInput = input
        process.standardOutput = output
        try process.run()
        self.process = process
        requests = input.fileHandleForWriting
        results = output.fileHandleForReading
    }

    /// Makes one exchange. Only one at a time.
    package func make(_ visit: Visit) async throws -> Visit.Result {
        try await measure(visit).result
    }

    /// Makes one exchange, and says how long it took. Only one at a time.
    package func measure(_ visit: Visit) async throws -> Visit.Outcome {
        try requests.write(contentsOf: JSONEncoder().encode(visit) + [UInt8(ascii: "\n")])
        let results = results
        let line = await onThread {
            var line = Data()
            while line.last != UInt8(ascii: "\n"), case let data = results.availableData, !data.isEmpty {
                line += data
            }
            return line
        }
        guard !line.isEmpty else { throw LabError("a visitor ended") }
        return try JSONDecoder().decode(Visit.Outcome.self, from: line)
    }

    /// Ends the process and waits for its end.
    package func stop() async {
        try? requests.close()
        let process = process
        await onThread { process.waitUntilExit() }
    }
}
