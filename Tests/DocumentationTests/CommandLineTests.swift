import Foundation
import Testing

/// The command lines that the documents show.
@Suite struct CommandLineTests {
    /// `podidentd debug explain shop/web-1 --output json`: subcommands, then everything else.
    private struct CommandLine {
        let program: String
        let words: [String]

        /// The words after the program's name in `text`, if it is a command line of one of our programs.
        init?(_ text: Substring) {
            let words = text.split(whereSeparator: \.isWhitespace).map(String.init)
            guard let first = words.first,
                let program = ["podidentd", "podidentd-lab"].first(where: { first == $0 || first.hasSuffix("/" + $0) })
            else { return nil }
            self.program = program
            self.words = Array(words.dropFirst())
        }

        var options: [String] {
            words.prefix { !["|", ">", ">>", "&&", ";", "#", "2>&1"].contains($0) }
                .filter { $0.hasPrefix("--") && $0.count > 2 }
                .map { String($0.prefix { $0 != "=" && $0 != "]" && $0 != "," }) }
        }
    }

    private static func isWord(_ text: String) -> Bool { text.allSatisfy { $0.isLowercase || $0 == "-" } }

    /// Every place where a command line begins.
    private func commandLines(in text: String) -> [CommandLine] {
        var result: [CommandLine] = []
        for match in text.matches(of: /(?:^\s*|(?:--|\||&&|;|\$)\s+|(?=\/))(\/?podidentd(?:-lab)?)(?=$|\s)/) {
            if let line = CommandLine(text[match.1.startIndex...]) { result.append(line) }
        }
        return result
    }

    /// A program's output, and its status.
    private func run(_ program: String, _ arguments: [String]) throws -> (status: Int32, output: String) {
        let executable = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        let process = Process()
        process.executableURL = URL(fileURLWithPath: executable).deletingLastPathComponent()
            .appendingPathComponent(program)
        process.arguments = arguments
        let output = Pipe()
        process.standardOutput = output
        process.standardError = output
        try process.run()
        let text = String(decoding: try output.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
        process.waitUntilExit()
        return (process.terminationStatus, text)
    }

    /// The help of the subcommand that `words` begin with, and how many of them name it.
    private func help(_ program: String, _ words: [String], in cache: inout [[String]: String?]) throws -> String? {
        let key = [program] + words
        if let known = cache[key] { return known }
        let (status, output) = try run(program, words + ["--help"])
        let text: String? = status == 0 ? output : nil
        cache[key] = text
        return text
    }

    @Test("every command line of the programs names subcommands and options that they have")
    func commands() throws {
        var cache: [[String]: String?] = [:]
        var checked = 0
        for document in try Document.all() {
            // Consoles count by what was typed.
            let typed = document.blockLines(["console"]).filter { $0.hasPrefix("$ ") }
            let spans = document.codeSpans.filter { $0.hasPrefix("podidentd") || $0.contains("-- podidentd ") }
            for line in (document.blockLines(["sh"]) + typed + spans).flatMap(commandLines) {
                guard let first = line.words.first, Self.isWord(first), !first.hasPrefix("-") else { continue }
                let words = line.words.prefix { Self.isWord($0) && !$0.hasPrefix("-") }
                let place = "\(document.path): \(line.program) \(line.words.joined(separator: " "))"
                // `debug` alone has subcommands; what follows any other word is an argument.
                let path = first == "debug" ? Array(words.prefix(2)) : [first]
                let text = try #require(try help(line.program, path, in: &cache), "\(place)")
                #expect(text.contains("USAGE: \(line.program) \(path.joined(separator: " "))"), "\(place)")
                for option in line.options where option != "--help" {
                    #expect(text.contains(option), "\(place): \(option)")
                }
                checked += 1
            }
        }
        #expect(checked > 20)
    }
}
