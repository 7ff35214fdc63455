import Foundation
import Testing

/// The Markdown files of the repository.
struct Document: Sendable {
    /// From the repository's root.
    let path: String
    let text: String

    static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    static func read(_ path: String) throws -> String {
        try String(contentsOf: root.appendingPathComponent(path), encoding: .utf8)
    }

    /// All of them but those of dependencies and of what was built.
    static func all() throws -> [Document] {
        let files = try #require(FileManager.default.enumerator(atPath: root.path))
        var documents: [Document] = []
        while let path = files.nextObject() as? String {
            if path.hasPrefix(".") {
                files.skipDescendants()
            } else if path.hasSuffix(".md") {
                documents.append(Document(path: path, text: try read(path)))
            }
        }
        return documents
    }

    /// The lines of blocks between fences that begin like one of `languages`.
    func blockLines(_ languages: Set<String>) -> [String] {
        var language: String?
        var lines: [String] = []
        for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
            if line.drop(while: { $0 == " " }).hasPrefix("```") {
                language = language == nil ? String(line.drop { $0 == " " || $0 == "`" }) : nil
            } else if let language, languages.contains(language) {
                lines.append(String(line))
            }
        }
        return Self.joined(lines)
    }

    /// Lines that end in a backslash, together with what follows.
    private static func joined(_ lines: [String]) -> [String] {
        var result: [String] = []
        var open = ""
        for line in lines {
            if line.hasSuffix("\\") {
                open += line.dropLast() + " "
            } else {
                result.append(open + line)
                open = ""
            }
        }
        return result + (open.isEmpty ? [] : [open])
    }

    /// The spans written as `code` within text.
    var codeSpans: [String] {
        var spans: [String] = []
        var isBlock = false
        var prose = ""
        for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
            if line.drop(while: { $0 == " " }).hasPrefix("```") {
                isBlock.toggle()
            } else if !isBlock {
                prose += line + "\n"
            }
        }
        for (index, part) in prose.split(separator: "`", omittingEmptySubsequences: false).enumerated()
        where index % 2 == 1 {
            spans.append(part.split(whereSeparator: \.isWhitespace).joined(separator: " "))
        }
        return spans
    }

    /// The targets of links that are no URLs.
    var relativeLinks: [String] {
        var links: [String] = []
        for match in text.matches(of: /\]\(([^)\s]+)\)/) {
            let target = String(match.1)
            if !target.contains("://"), !target.hasPrefix("mailto:") { links.append(target) }
        }
        return links
    }

    /// The anchors that a code host gives to the headings.
    static func anchors(of text: String) -> Set<String> {
        Set(
            text.split(separator: "\n").filter { $0.hasPrefix("#") }.map { heading in
                heading.drop { $0 == "#" }.drop { $0 == " " }.lowercased()
                    .filter { $0.isLetter || $0.isNumber || $0 == " " || $0 == "-" || $0 == "_" }
                    .map { $0 == " " ? "-" : String($0) }.joined()
            })
    }
}
