import Foundation
import Testing

/// The promise of `docs/ARCHITECTURE.md` for a further cloud: new files, and one list.
@Suite struct CloudBorderTests {
    /// Types that a cloud's own files declare, by a list of the folders below `Sources`.
    @Test("no file outside of a cloud's own names one of its types, but the list of clouds")
    func oneList() throws {
        let sources = Document.root.appendingPathComponent("Sources")
        let files = try #require(FileManager.default.enumerator(atPath: sources.path)).compactMap { $0 as? String }
            .filter { $0.hasSuffix(".swift") }
        var declared: Set<Substring> = []
        var others: [(file: String, text: String)] = []
        for file in files {
            let text = try String(contentsOf: sources.appendingPathComponent(file), encoding: .utf8)
            if Self.isOfACloud(file) {
                declared.formUnion(
                    text.matches(of: /(?m)^(?:package |public )?(?:struct|enum|final class|protocol) (\w+)/).map(\.1))
            } else {
                others.append((file, text))
            }
        }
        #expect(declared.isSuperset(of: ["AWSInstanceMetadata", "EntraTokenExchange", "AzureModule", "AWSRoleARN"]))
        // Not by Unicode's rules, for which a period joins two words.
        let names = try declared.map { try Regex("\\b\($0)\\b").wordBoundaryKind(.simple) }
        let users = others.filter { file in names.contains { file.text.contains($0) } }
        #expect(users.map { ($0.file as NSString).lastPathComponent } == ["CloudModule.swift"])
        let list = users.flatMap { $0.text.split(separator: "\n") }
            .filter { line in names.contains { line.contains($0) } }
        #expect(list.count == 1 && list[0].contains("static let all"))
    }

    private static func isOfACloud(_ file: String) -> Bool {
        let name = (file as NSString).lastPathComponent
        return ["AWS", "Azure"].contains { file.contains("/\($0)/") }
            || ["AWS", "Azure", "Entra"].contains { name.hasPrefix($0) }
    }
}
