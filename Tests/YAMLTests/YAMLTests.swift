import Fuzzing
import Testing

@testable import YAML

/// The reader of configuration files: what it reads, and that everything else is refused by line, without a quotation.
@Suite(.timeLimit(.minutes(5))) struct YAMLTests {
    private func scalar(_ text: String, isPlain: Bool = true) -> YAMLNode { .scalar(.init(text, isPlain: isPlain)) }

    @Test("scalars are text as it is spelt; only plain ones may be null")
    func scalars() throws {
        let root = try #require(
            try YAML.read(
                """
                # A comment.
                octal: 0777
                date: 2001-01-01
                no: no
                empty:
                null: null
                quoted: "null"
                single: 'it''s'
                literal: |
                  two
                  lines
                folded: >-
                  one
                  line
                unicode: "\\u00e9\\x41 é"
                """)?.mapping)
        #expect(root["octal"] == scalar("0777") && root["date"] == scalar("2001-01-01") && root["no"] == scalar("no"))
        #expect(root["empty"]?.scalar?.isNull == true && root["null"]?.scalar?.isNull == true)
        #expect(root["quoted"] == scalar("null", isPlain: false) && root["quoted"]?.scalar?.isNull == false)
        #expect(root["single"] == scalar("it's", isPlain: false))
        #expect(root["literal"] == scalar("two\nlines\n", isPlain: false))
        #expect(root["folded"] == scalar("one line", isPlain: false))
        #expect(root["unicode"] == scalar("éA é", isPlain: false))
        #expect(root["missing"] == nil)
        #expect(root.entries.map(\.key).prefix(3) == ["octal", "date", "no"])
    }

    @Test("lists and mappings read the same in blocks and in brackets")
    func styles() throws {
        let block = try YAML.read("a:\n- 1\n- {b: [x, y]}\n- - z\n")
        #expect(try YAML.read("{a: [1, {b: [x, y]}, [z]]}") == block)
        #expect(block?.mapping?["a"]?.sequence?.count == 3)
        #expect(block?.scalar == nil && block?.sequence == nil && block?.mapping?["a"]?.mapping == nil)
    }

    @Test(
        "a text without a document has no value, and an empty document an empty one", arguments: ["", " \n", "# x\n"])
    func nothing(_ text: String) throws {
        #expect(try YAML.read(text) == nil)
        #expect(try YAML.read("---\n" + text) == scalar(""))
    }

    @Test("an alias repeats what is complete")
    func aliases() throws {
        let root = try YAML.read("a: &x {b: 1}\nc: *x\nd: &x 2\ne: *x\n")?.mapping
        #expect(root?["c"] == root?["a"] && root?["e"] == scalar("2"))
    }

    @Test("a byte order mark at the start is none of the text")
    func byteOrderMark() throws {
        #expect(try YAML.read("\u{feff}a: 1\n")?.mapping?["a"] == scalar("1"))
    }

    @Test(
        "everything else is refused by its line",
        arguments: [
            ("a: 1\nb: 2\na: 3\n", 3, "key twice"), ("a: 1\n--- \nb: 2\n", 2, "second document"),
            ("a: !!binary eA==\n", 1, "a tag"), ("a: !own x\n", 1, "remove it"), ("? [a]\n: 1\n", 1, "plain name"),
            ("a: *b\n", 1, "no anchor"), ("a: &a [*a]\n", 1, "no anchor"), ("a: [\n", 2, "expected node content"),
            ("a: 'x\n", 2, "end of stream"), ("\ta: 1\n", 1, "by spaces, never by tabs"),
            ("a: \u{0}\n", 1, "control characters"),
            ("%YAML 7.0\n---\na: 1\n", 1, "incompatible"), ("a: b: c\n", 1, "not allowed"),
        ])
    func refusals(_ text: String, _ line: Int, _ words: String) {
        let error = #expect(throws: YAMLError.self) { try YAML.read(text) }
        #expect(error?.line == line && error?.problem.contains(words) == true, "\(String(describing: error))")
    }

    @Test("depth and number of values end where the limits are")
    func limits() throws {
        func nested(_ depth: Int) -> String {
            String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
        }
        #expect(try YAML.read(nested(YAML.depthMax)) != nil)
        #expect(throws: YAMLError.self) { try YAML.read(nested(YAML.depthMax + 1)) }
        func list(_ count: Int) -> String { "[" + String(repeating: "x,", count: count - 1) + "]" }
        #expect(try YAML.read(list(YAML.valuesMax))?.sequence?.count == YAML.valuesMax - 1)
        #expect(throws: YAMLError.self) { try YAML.read(list(YAML.valuesMax + 1)) }
        // 17 doublings make 2^18 values of a hundred bytes.
        let bomb = (1...17).map { "a\($0): &a\($0) [*a\($0 - 1), *a\($0 - 1)]" }.joined(separator: "\n")
        let error = #expect(throws: YAMLError.self) { try YAML.read("a0: &a0 x\n\(bomb)\n") }
        #expect(error?.problem.contains("values") == true)
    }

    @Test("aliases repeat neither more bytes nor more levels than the limits allow")
    func aliasLimits() throws {
        let long = String(repeating: "x", count: YAML.bytesMax / 4)
        func repeated(_ count: Int) -> String {
            "a: &a \(long)\nb: [" + Array(repeating: "*a", count: count).joined(separator: ", ") + "]\n"
        }
        #expect(try YAML.read(repeated(2)) != nil)
        #expect(try #require(throws: YAMLError.self) { try YAML.read(repeated(4)) }.problem.contains("bytes"))
        let half = YAML.depthMax / 2
        func nested(_ value: String, _ depth: Int) -> String {
            String(repeating: "[", count: depth) + value + String(repeating: "]", count: depth)
        }
        func deep(_ more: Int) -> String { "a: &a \(nested("x", half))\nb: \(nested("*a", more))\n" }
        #expect(try YAML.read(deep(half - 3)) != nil)
        #expect(try #require(throws: YAMLError.self) { try YAML.read(deep(half)) }.problem.contains("nesting"))
    }

    @Test("a value written as JSON reads as the same texts")
    func json() throws {
        let hard = "a\"\\\n\t\u{1}\u{7f}\u{85}\u{2028}\u{feff}é€😀 #: - {}"
        let node = YAMLNode.sequence([scalar(hard), try #require(try YAML.read("{k: [v, {}], \"~\": null}"))])
        let read = try #require(try YAML.read(node.json))
        #expect(read.json == node.json && read.sequence?.first?.scalar?.string == hard)
        #expect(read.sequence?[1].mapping?["~"] == scalar("null", isPlain: false))
    }

    @Test("any text is read or refused, and what was read reads the same again as JSON")
    func fuzz() throws {
        let words = [
            ": ", "- ", "[", "]", "{", "}", "&a ", "*a", "!!str ", "<<: *a", "|\n", ">\n", "\t", "\n", "\r\n", "---\n",
            "...\n", "%YAML 1.2\n", "\"", "'", "\\u0000", "\\ud800", "\u{0}", "\u{feff}", "~", "? ", "#", "@", "`",
            ", ",
            "  ",
        ]
        let seeds = ["a: 1\nb:\n- {c: &a [x, 'y']}\n- *a\n", "{a: \"\\u00e9\", b: {c: ~}}", "? a\n: |\n  text\n"]
        let mutator = Mutator(seeds: seeds.map { Array($0.utf8) }, words: words, limit: 4096)
        var (read, refused) = (0, 0)
        FuzzRun.seeds(usual: 4_000) { seed in
            var random = FuzzGenerator(seed: seed)
            let input = mutator.input(&random)
            FuzzRun.note(input)
            do throws(YAMLError) {
                guard let node = try YAML.read(String(decoding: input, as: UTF8.self)) else { return }
                read += 1
                let again = try YAML.read(node.json)
                #expect(again?.json == node.json, "\(FuzzRun.text(input))")
            } catch {
                refused += 1
                #expect(error.line >= 1 && !error.problem.isEmpty)
            }
        }
        #expect(read > 100 && refused > 1_000, "the generator must reach both: \(read), \(refused)")
    }
}
