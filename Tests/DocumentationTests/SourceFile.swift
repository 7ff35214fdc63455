import Foundation
import Testing

/// A file of code, with its comments.
struct SourceFile: Sendable {
    struct Comment: Sendable {
        var line: Int
        /// Whether it documents a declaration (`///`).
        var isDocumentation: Bool
        var text: String
    }

    /// From the repository's root.
    let path: String
    let lines: [String]

    /// The folders whose code people read: the product, the kernel programs, the lab.
    static let folders = ["Sources", "bpf", "Lab", "Benchmarks/request-cost"]

    static func all(below folders: [String] = folders) throws -> [SourceFile] {
        var files: [SourceFile] = []
        for folder in folders {
            let names = try #require(
                FileManager.default.enumerator(atPath: Document.root.appendingPathComponent(folder).path))
            while let name = names.nextObject() as? String {
                guard [".swift", ".c", ".h"].contains(where: name.hasSuffix), !name.hasSuffix(".skel.h") else {
                    continue
                }
                let path = "\(folder)/\(name)"
                files.append(SourceFile(path: path, text: try Document.read(path)))
            }
        }
        return files
    }

    init(path: String, text: String) {
        self.path = path
        lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    }

    /// Comments that stand on lines of their own: neighbouring lines of one kind are one comment.
    var comments: [Comment] {
        var comments: [Comment] = []
        var isBlock = false
        for (index, line) in lines.enumerated() {
            let text = line.drop { $0 == " " || $0 == "\t" }
            if isBlock || text.hasPrefix("/*") {
                let end = text.range(of: "*/")
                let body = (end.map { text[..<$0.lowerBound] } ?? text).drop { "/* \t".contains($0) }
                append(String(body), index, isDocumentation: false, continues: isBlock, to: &comments)
                isBlock = end == nil
            } else if text.hasPrefix("//") {
                let isDocumentation = text.hasPrefix("///")
                let body = text.drop { $0 == "/" }.drop { $0 == " " }
                let last = comments.last
                let continues =
                    last.map {
                        $0.isDocumentation == isDocumentation
                            && $0.line + $0.text.split(separator: "\n", omittingEmptySubsequences: false).count == index
                                + 1
                    } ?? false
                append(String(body), index, isDocumentation: isDocumentation, continues: continues, to: &comments)
            }
        }
        return comments
    }

    private func append(
        _ text: String, _ index: Int, isDocumentation: Bool, continues: Bool, to comments: inout [Comment]
    ) {
        if continues, !comments.isEmpty {
            comments[comments.count - 1].text += "\n" + text
        } else {
            comments.append(Comment(line: index + 1, isDocumentation: isDocumentation, text: text))
        }
    }
}
