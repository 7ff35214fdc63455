import Foundation
import Operations
import Testing

/// The English of comments, documents, logs and help texts.
@Suite struct ProseTests {
    private let rules = ProseRules()

    @Test("comments name the thing first, use plain words and keep sentences short")
    func comments() throws {
        var count = 0
        let manifest = SourceFile(path: "Package.swift", text: try Document.read("Package.swift"))
        for file in try SourceFile.all() + SourceFile.all(below: ["Tests"]) + [manifest] {
            for comment in file.comments {
                count += 1
                let namesFirst = comment.isDocumentation && ["Sources/", "Lab/"].contains { file.path.hasPrefix($0) }
                for violation in namesFirst
                    ? rules.violations(inDocumentation: comment.text) : rules.violations(inComment: comment.text)
                {
                    Issue.record("\(file.path):\(comment.line): \(violation)")
                }
            }
        }
        #expect(count > 3000)
    }

    @Test("the titles of tests use plain words")
    func titles() throws {
        var count = 0
        for file in try SourceFile.all(below: ["Tests"]) {
            let title = /@Test(?:\(\s*"((?:[^"\\]|\\.)+)"| func `([^`]+)`)/
            for match in file.lines.joined(separator: "\n").matches(of: title) {
                count += 1
                for violation in rules.violations(in: String(match.1 ?? match.2 ?? ""))
                where !violation.contains("words in one sentence") {
                    Issue.record("\(file.path): \(match.0): \(violation)")
                }
            }
        }
        #expect(count > 900)
    }

    @Test("the documents use plain words")
    func documents() throws {
        for document in try Document.all() where !document.path.hasPrefix("findings/") {
            for (index, line) in document.text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
                let prose = String(line).replacing(/`[^`]*`/, with: "X")
                for violation in rules.violations(in: prose) where !violation.contains("words in one sentence") {
                    Issue.record("\(document.path):\(index + 1): \(violation)")
                }
            }
        }
    }

    @Test("every HELP text has a noun that one would search for")
    func help() {
        for metric in MetricNames.all {
            #expect(ProseRules.hasNoun(metric.help), "\(metric.name): \(metric.help)")
            #expect(rules.violations(in: metric.help).isEmpty, "\(metric.name): \(metric.help)")
        }
    }

    @Test("every message of the log has a noun that one would search for, and plain words")
    func logs() throws {
        let message =
            /logger\.(?:debug|info|notice|warning|error|critical)\(\s*(?:"((?:[^"\\]|\\.)+)"|"""\n((?s:.*?))""")/
        var count = 0
        for file in try SourceFile.all(below: ["Sources"]) where file.path.hasSuffix(".swift") {
            for match in file.lines.joined(separator: "\n").matches(of: message) {
                let text = String(match.1 ?? match.2 ?? "").replacing(/\\\n\s*/, with: "")
                count += 1
                #expect(ProseRules.hasNoun(text), "\(file.path): \(text)")
                #expect(rules.violations(in: text).isEmpty, "\(file.path): \(text)")
            }
        }
        #expect(count > 60)
    }

    /// Sentences that this repository once had, each with the rule that it broke.
    @Test(
        "the rules find what was wrong with the old text",
        arguments: [
            ("What tells of this agent, which is not to be taken for the one that it replaces.", "begins with 'What'"),
            ("Of the kind alone: keys meet in a pod's table", "begins with 'Of'"),
            ("A promise about one cached token.\n\nIt ends by itself when a refresh is due.", "begins with 'It'"),
            (
                "Also of one that nobody was told of: whoever asked for it by its ID may know it.",
                "'nobody' has a plain word"
            ),
            ("so that whoever hooks of an earlier agent lead here is refused", "'whoever' has a plain word"),
            (
                """
                Takes over what an earlier agent left in the kernel, and removes what belongs to cgroups that went \
                meanwhile and policies that no rule gives any more.
                """, "words in one sentence"
            ),
        ])
    func oldText(_ sentence: String, violation: String) {
        let found = rules.violations(inComment: sentence)
        #expect(found.contains { $0.contains(violation) }, "\(found)")
    }

    /// Doc comments that this repository once had.
    @Test(
        "a doc comment that opens with an adverbial is found",
        arguments: [
            ("Since boot.", "Since"), ("By the clock that cannot.", "By"), ("Without a policy of its own.", "Without"),
            ("Until the token ends.", "Until"), ("Where it listens, while it does.", "Where"),
            ("From the root of the hierarchy. Bytes that are not UTF-8 are replaced.", "From"),
        ])
    func oldOpeners(_ comment: String, opener: String) {
        let found = rules.violations(inDocumentation: comment)
        #expect(found == ["begins with '\(opener)' and leaves its noun out"])
    }

    @Test(
        "a doc comment that opens with its noun, a verb, code or a sentence of its own is no violation",
        arguments: [
            "The seconds since boot.", "Stops the server. After that it does not start again.",
            "`nil`: the agent has no policy of its own.", "There is no receiver any more.",
            "The path as sent.\n\nWithout the query it is shorter.",
        ])
    func newOpeners(_ comment: String) {
        #expect(rules.violations(inDocumentation: comment).isEmpty)
    }

    @Test("the rules find a log line and a HELP text without a noun")
    func oldMessages() {
        #expect(!ProseRules.hasNoun("replaced; waiting to be stopped, or for its end"))
        #expect(!ProseRules.hasNoun("ending"))
    }
}
