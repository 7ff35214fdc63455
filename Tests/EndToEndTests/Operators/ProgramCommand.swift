import Foundation
import Lab

/// A command of one of our programs, as the program describes itself.
struct ProgramCommand {
    /// The words after the program's name.
    var path: [String]
    /// The names of its options and flags, without dashes.
    var options: Set<String>

    /// Whether it prints in the forms that all commands have in common.
    var hasForms: Bool { options.contains("output") }

    /// The commands of a program, those of the help that have no commands of their own, in its order.
    static func all(of program: String) async throws -> [ProgramCommand] {
        let path = try Binaries.directory() + "/" + program
        let text = try await Command.require([path, "--experimental-dump-help"])
        return leaves(of: try JSONDecoder().decode(Tool.self, from: Data(text.utf8)).command, path: [])
    }

    private static func leaves(of node: Node, path: [String]) -> [ProgramCommand] {
        let commands = (node.subcommands ?? []).filter { $0.shouldDisplay && $0.commandName != "help" }
        guard commands.isEmpty else {
            return commands.flatMap { leaves(of: $0, path: path + [$0.commandName]) }
        }
        let names = (node.arguments ?? []).flatMap { $0.names ?? [] }.map(\.name)
        return [ProgramCommand(path: path, options: Set(names))]
    }

    private struct Tool: Decodable {
        var command: Node
    }

    private struct Node: Decodable {
        struct Argument: Decodable {
            struct Name: Decodable { var name: String }
            var names: [Name]?
        }

        var commandName: String
        var shouldDisplay: Bool
        var arguments: [Argument]?
        var subcommands: [Node]?
    }
}
