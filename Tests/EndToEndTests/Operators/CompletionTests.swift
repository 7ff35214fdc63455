import Foundation
import Lab
import Testing

/// The completions that the programs write for shells, read by these shells, and asked for by the real kubectl.
@Suite(.serialized, .timeLimit(.minutes(5)))
struct CompletionTests {
    private static let tools = repositoryFolder + "/.build/deploy"

    /// Commands that read a script without running it, by the name of its shell.
    private static let readers = [
        "bash": ["bash", "-n"],
        "zsh": [tools + "/bin/zsh", "-n"],
        "fish": ["env", "LD_LIBRARY_PATH=\(tools)/lib", tools + "/bin/fish", "--no-execute"],
    ]

    @Test(
        "every shell reads the script that a program writes for it, and the script knows every command",
        arguments: ["podidentd", "kubectl-podidentd"], ["bash", "zsh", "fish"])
    func scripts(program: String, shell: String) async throws {
        let path = try Binaries.directory() + "/" + program
        let script = try await Command.require([path, "--generate-completion-script", shell])
        for command in try await ProgramCommand.all(of: program) {
            let name = try #require(command.path.last)
            #expect(script.contains(name), "\(command.path)")
        }
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("completion-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: false)
        defer { try? FileManager.default.removeItem(at: folder) }
        let file = folder.appendingPathComponent("script").path
        let reader = ["env", "HOME=\(folder.path)"] + (try #require(Self.readers[shell]))
        try script.write(toFile: file, atomically: true, encoding: .utf8)
        let read = try await Command.run(reader + [file])
        #expect(read.succeeded && read.errorOutput.isEmpty, "\(read)")
        // A reader that takes everything reads nothing.
        try (script + "\nif (\n").write(toFile: file, atomically: true, encoding: .utf8)
        #expect(try await !Command.run(reader + [file]).succeeded)
    }

    @Test(
        "kubectl completes the plugin's commands, options and values",
        arguments: [
            (["st"], ["status"]), (["check", "--o"], ["--online", "--output"]),
            (["tokens", "--output", ""], ["json", "table", "tree", "yaml"]), (["version", "x"], []),
        ])
    func kubectl(words: [String], expected: [String]) async throws {
        let path = "\(repositoryFolder)/deploy/plugin:\(try Binaries.directory()):\(Self.tools)/bin:/usr/bin:/bin"
        let environment = ["env", "-i", "PATH=\(path)", "HOME=/nonexistent"]
        let offered = try await Command.require(environment + ["kubectl", "__complete", "podidentd"] + words)
        // The last line says that there are no files to offer.
        let lines = offered.split(separator: "\n").map(String.init)
        #expect(lines.last == ":4" && lines.dropLast().sorted() == expected, "\(offered)")
    }
}
