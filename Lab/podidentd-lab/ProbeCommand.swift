import ArgumentParser
import Foundation
import Lab
import NIOCore

/// The program that the lab runs inside pods.
struct ProbeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "probe",
        abstract: "Asks a server once and prints the answer, or many times and prints the counts.",
        shouldDisplay: false
    )

    @Option(help: "The server's IP address; its family decides the socket's.")
    var address = "169.254.169.254"

    @Option(help: "The server's port.")
    var port = 80

    @Argument(help: "The path to ask for.")
    var path: String

    @Option(help: "How many exchanges, each on a connection of its own. 0: one, with its answer printed.")
    var exchanges = 0

    @Flag(help: "Asks without end, with a line on standard error for each exchange.")
    var stream = false

    @Option(help: "With --stream: as long as this file is there, exchanges give up after a second, and not ten.")
    var hurry: String?

    @Option(help: "Seconds after which no further exchange starts, if SIGTERM has not ended them before.")
    var seconds = 60

    @Option(help: "Threads that ask at the same time.")
    var threads = 4

    @Option(help: "What the body of a right answer contains.")
    var expect = ""

    @Option(help: "How many of the threads keep their connection.")
    var kept = 0

    @Option(help: "Milliseconds between two exchanges of a thread.")
    var pause = 0

    func run() throws {
        let address = try SocketAddress(ipAddress: address, port: port)
        if stream {
            ProbeStream(path: path, address: address, hurry: hurry).run { sample in
                FileHandle.standardError.write(Data((sample.line + "\n").utf8))
            }
        }
        if exchanges > 0 {
            let load = ProbeLoad(
                path: path, address: address, threads: threads, exchanges: exchanges, duration: .seconds(seconds),
                expected: expect, keptConnections: kept, pause: .milliseconds(pause)
            )
            return try run(load)
        }
        switch ProbeConnection.get(path, from: address) {
        case .answered(let status, _, let body, let peer):
            print("status \(status)")
            print("peer \(peer)")
            print(body, terminator: "")
        // With curl's exit codes for the same.
        case .refused:
            print("connection refused")
            throw ExitCode(7)
        case .reset:
            print("connection reset by peer")
            throw ExitCode(56)
        case .failed(let number): throw ValidationError("the connection failed with error number \(number)")
        }
    }

    /// Runs a load until its end or until SIGTERM, and prints its counts. Says on standard error that it listens to the signal.
    private func run(_ load: ProbeLoad) throws {
        signal(SIGTERM, SIG_IGN)
        let end = DispatchSource.makeSignalSource(signal: SIGTERM, queue: .global())
        end.setEventHandler { load.stop() }
        end.setRegistrationHandler { FileHandle.standardError.write(Data("asking\n".utf8)) }
        end.activate()
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys]
        print(String(decoding: try encoder.encode(load.run()), as: UTF8.self))
        end.cancel()
    }
}
