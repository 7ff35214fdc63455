import Foundation

/// A process that sits in a pod and makes one exchange at a time, when told to: from there, or from another cgroup that
/// it enters for the purpose. So many short-lived pods cost no process each.
package final class PodClient: Sendable {
    private let process: LabProcess
    /// The reader stays open here too: to write to a visitor that has ended must not end this process.
    private let requests: LabPipe
    private let results: FileHandle

    /// Starts it inside `home`, whose network namespace it keeps.
    package init(in home: RunningPod, of world: LabWorld) throws {
        let processes = world.node.cgroupDirectory(home.containerCgroup) + "/cgroup.procs"
        let output = try LabPipe()
        requests = try LabPipe()
        process = try LabProcess(
            home.commandLine([world.binaries + "/podidentd-lab", "visit", "--home", processes]),
            input: requests.reader, output: output.writer, errors: .standardError)
        try output.writer.close()
        results = output.reader
    }

    /// Makes one exchange. Only one at a time.
    package func make(_ visit: ClientRequest) async throws -> ClientRequest.Result {
        try await measure(visit).result
    }

    /// Makes one exchange, and says how long it took. Only one at a time.
    package func measure(_ visit: ClientRequest) async throws -> ClientRequest.Outcome {
        try requests.writer.write(contentsOf: JSONEncoder().encode(visit) + [UInt8(ascii: "\n")])
        let results = results
        let line = await onThread {
            var line = Data()
            while line.last != UInt8(ascii: "\n"), case let data = results.availableData, !data.isEmpty {
                line += data
            }
            return line
        }
        guard !line.isEmpty else { throw LabError("a visitor ended") }
        return try JSONDecoder().decode(ClientRequest.Outcome.self, from: line)
    }

    /// Ends the process and waits for its end.
    package func stop() async {
        try? requests.writer.close()
        let process = process
        _ = await onThread { process.wait() }
    }
}
