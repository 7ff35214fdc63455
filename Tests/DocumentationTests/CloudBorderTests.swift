import Foundation
import Testing

/// The promise of `docs/ARCHITECTURE.md` for a further cloud: new files, and one list.
@Suite struct CloudBorderTests {
    @Test("no file outside of a cloud's own names one of its types, but the list of clouds")
    func oneList() throws {
        let files = try #require(FileManager.default.enumerator(atPath: Self.sources.path)).compactMap { $0 as? String }
            .filter { $0.hasSuffix(".swift") }
        var declared: Set<Substring> = []
        var others: [(file: String, text: String)] = []
        for file in files {
            let text = try String(contentsOf: Self.sources.appendingPathComponent(file), encoding: .utf8)
            if Self.isOfACloud(file) {
                declared.formUnion(
                    text.matches(of: /(?m)^(?:package |public )?(?:struct|enum|final class|protocol) (\w+)/).map(\.1))
            } else {
                others.append((file, text))
            }
        }
        #expect(declared.isSuperset(of: ["AWSMetadataRoom", "EntraTokenService", "AzureModule", "AWSRoleARN"]))
        // Not by Unicode's rules, for which a period joins two words.
        let names = try declared.map { try Regex("\\b\($0)\\b").wordBoundaryKind(.simple) }
        let users = others.filter { file in names.contains { file.text.contains($0) } }
        #expect(users.map { ($0.file as NSString).lastPathComponent } == ["CloudModule.swift"])
        let list = users.flatMap { $0.text.split(separator: "\n") }
            .filter { line in names.contains { line.contains($0) } }
        #expect(list.count == 1 && list[0].contains("static let all"))
    }

    @Test("a protocol's module is imported by the agent's composition alone, and imports no other")
    func modules() throws {
        let modules = try FileManager.default.contentsOfDirectory(atPath: Self.sources.path)
            .filter { try !Self.texts(of: $0).isEmpty }
        // By what a module declares, so that a further cloud's is one of them.
        let rooms = try modules.filter { try Self.declares($0, /(?:struct|class) \w+: (?:CloudRoom|MetadataRoom)\b/) }
        let exchanges = try modules.filter {
            try $0 != "Clouds" && Self.declares($0, /class \w+: (?:CloudCredentialExchanging|TokenExchanging)\b/)
        }
        #expect(Set(rooms).isSuperset(of: ["GoogleMetadata", "AWSInstanceMetadata", "AzureInstanceMetadata"]))
        #expect(
            Set(exchanges).isSuperset(of: ["GoogleTokenExchange", "AWSSecurityTokenService", "EntraTokenExchange"]))
        let clouds = Set(rooms + exchanges)
        for module in rooms { #expect(try Self.imports(of: module).contains("MetadataProtocol"), "\(module)") }
        for module in exchanges { #expect(try Self.imports(of: module).contains("TokenExchange"), "\(module)") }
        for module in Array(clouds) + ["MetadataProtocol", "TokenExchange", "MetadataServer", "Tokens", "UpstreamHTTP"]
        {
            let imports = try Self.imports(of: module)
            #expect(imports.isDisjoint(with: clouds), "\(module) imports a cloud's module")
            #expect(!clouds.contains(module) || !imports.contains("MetadataServer"), "\(module) imports the server")
        }
        // The node has answers, and its operator remedies, that are Google's; the other clouds are known to their list.
        let others = clouds.filter { !$0.hasPrefix("Google") }
        for module in modules where module != "Clouds" {
            #expect(try Self.imports(of: module).isDisjoint(with: others), "\(module) imports a cloud's module")
        }
        #expect(try Self.imports(of: "Clouds").isSuperset(of: clouds))
    }

    @Test("imports are found in every form")
    func forms() {
        let text = """
            import A
            package import B
            @testable import C
                internal import struct D.Type
            @_spi(X) public import E
            // import F
            """
        #expect(Self.imports(in: text) == ["A", "B", "C", "D", "E"])
    }

    private static let sources = Document.root.appendingPathComponent("Sources")

    /// The Swift files of a module.
    private static func texts(of module: String) throws -> [String] {
        let folder = sources.appendingPathComponent(module)
        return try (FileManager.default.enumerator(atPath: folder.path)?.allObjects ?? []).compactMap { $0 as? String }
            .filter { $0.hasSuffix(".swift") }
            .map { try String(contentsOf: folder.appendingPathComponent($0), encoding: .utf8) }
    }

    private static func declares(_ module: String, _ declaration: Regex<Substring>) throws -> Bool {
        try texts(of: module).contains { $0.contains(declaration) }
    }

    /// The modules that the Swift files of a module import.
    private static func imports(of module: String) throws -> Set<String> {
        let texts = try texts(of: module)
        try #require(!texts.isEmpty, "Sources/\(module) has no Swift file")
        return texts.reduce(into: []) { $0.formUnion(imports(in: $1)) }
    }

    private static func imports(in text: String) -> Set<String> {
        let form =
            /(?m)^ *(?:@\w+(?:\([^)]*\))? +)*(?:(?:public|package|internal|fileprivate|private) +)?import +(?:(?:struct|class|enum|protocol|func|typealias|let|var) +)?(\w+)/
        return Set(text.matches(of: form).map { String($0.1) })
    }

    private static func isOfACloud(_ file: String) -> Bool {
        let names = [file.prefix { $0 != "/" }, Substring((file as NSString).lastPathComponent)]
        return names.contains { name in ["AWS", "Azure", "Entra"].contains { name.hasPrefix($0) } }
    }
}
