import Agent
import ArgumentParser
import Foundation
import Operations

struct DebugCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "debug",
        abstract: "Shows what a running agent knows.",
        subcommands: [DebugCgroupsCommand.self, DebugStatusCommand.self]
    )
}

struct AdminOptions: ParsableArguments {
    @Option(name: .long, help: ArgumentHelp("admin.socket of the agent.", valueName: "path"))
    var socket = "/run/podidentd/admin.sock"

    enum Output: String, ExpressibleByArgument, CaseIterable {
        case table, json
    }

    func fetch(_ view: String) async throws -> Data {
        Data(try await AdminClient(socketPath: socket).get(view))
    }
}

struct DebugCgroupsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cgroups", abstract: "Prints the live map from cgroups to pods."
    )

    @OptionGroup var admin: AdminOptions

    @Option(name: .shortAndLong, help: "table or json.")
    var output = AdminOptions.Output.table

    func run() async throws {
        let data = try await admin.fetch("/debug/cgroups")
        switch output {
        case .json:
            print(String(decoding: data, as: UTF8.self))
        case .table:
            let dump = try JSONDecoder().decode(CgroupDump.self, from: data)
            print("node \(dump.node), kubepods \(dump.kubepods), \(dump.rows.count) cgroups")
            print(dump.table(), terminator: "")
        }
    }
}

struct DebugStatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "Prints the agent's hooks, counters and watch state as JSON."
    )

    @OptionGroup var admin: AdminOptions

    func run() async throws {
        print(String(decoding: try await admin.fetch("/debug/status"), as: UTF8.self))
    }
}
