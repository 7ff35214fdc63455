import Testing

/// The size of files and functions: what is larger has two purposes.
@Suite struct SizeTests {
    static let linesMax = 300
    static let functionLinesMax = 70

    @Test("no file of code has more than 300 lines")
    func files() throws {
        for file in try SourceFile.all() where !Self.exempt.contains(file.path) {
            #expect(file.lines.count - 1 <= Self.linesMax, "\(file.path): \(file.lines.count - 1) lines")
        }
    }

    /// Two compilers read this header, and it is one contract.
    private static let exempt: Set<String> = ["bpf/include/podidentd_abi.h"]

    @Test("no function has more than 70 lines")
    func functions() throws {
        var count = 0
        for file in try SourceFile.all(below: SourceFile.folders + ["Tests"]) {
            for (name, line, length) in Self.functions(of: file) {
                count += 1
                #expect(length <= Self.functionLinesMax, "\(file.path):\(line): \(name): \(length) lines")
            }
        }
        #expect(count > 3000)
    }

    /// A function ends at the first closing brace that stands as far in as its declaration: the format guarantees that.
    private static func functions(of file: SourceFile) -> [(name: String, line: Int, length: Int)] {
        let declaration =
            file.path.hasSuffix(".swift")
            ? /^( *)(?:@\S+ )*(?:[a-z]+(?:\(set\))? )*(func \S+?|init[?]?|subscript|deinit)[(<{ ].*$/
            : /^()(?:static |const |struct |unsigned |__always_inline |volatile )*\w+ \**(\w+)\([^;]*$/
        var found: [(String, Int, Int)] = []
        for (index, line) in file.lines.enumerated() {
            guard let match = line.wholeMatch(of: declaration) else { continue }
            let indent = String(match.1)
            // The signature may take several lines; a requirement of a protocol has no body.
            let rest = file.lines[index...]
            let opening =
                line.hasSuffix("(")
                ? rest.dropFirst().first { $0.hasPrefix(indent) && !$0.hasPrefix(indent + " ") } ?? "" : line
            guard opening.hasSuffix("{") || !file.path.hasSuffix(".swift"), !line.hasSuffix("}"),
                let last = rest.dropFirst().firstIndex(where: { $0 == indent + "}" || $0.hasPrefix(indent + "} ") })
            else { continue }
            found.append((String(match.2), index + 1, last - index + 1))
        }
        return found
    }

    @Test("a function of 71 lines is found")
    func longFunction() {
        let body = Array(repeating: "        work()", count: 69)
        let text = (["struct S {", "    package static func long(_ a: Int) {"] + body + ["    }", "}"])
        let found = Self.functions(of: SourceFile(path: "S.swift", text: text.joined(separator: "\n")))
        #expect(found.map(\.length) == [71])
    }
}
