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
        let rooms: Set<String> = ["GoogleMetadata", "AWSInstanceMetadata", "AzureInstanceMetadata"]
        let exchanges: Set<String> = ["GoogleTokenExchange", "AWSSecurityTokenService", "EntraTokenExchange"]
        let (clouds, shared) = (rooms.union(exchanges), ["MetadataProtocol", "TokenExchange"])
        for module in clouds {
            let imports = try Self.imports(of: module)
            #expect(
                imports.contains(shared[exchanges.contains(module) ? 1 : 0]), "\(module) imports \(imports.sorted())")
            #expect(imports.isDisjoint(with: clouds) && !imports.contains("MetadataServer"), "\(module): \(imports)")
        }
        for module in shared + ["MetadataServer", "Tokens", "UpstreamHTTP", "KubernetesAPI"] {
            #expect(try Self.imports(of: module).isDisjoint(with: clouds), "\(module) imports a cloud's module")
        }
        // Google's protocol has answers of the node and remedies of its own; the other clouds are known to their list.
        let others = clouds.filter { !$0.hasPrefix("Google") }
        for module in try FileManager.default.contentsOfDirectory(atPath: Self.sources.path) where module != "Clouds" {
            #expect(try Self.imports(of: module).isDisjoint(with: others), "\(module) imports a cloud's module")
        }
        #expect(try Self.imports(of: "Clouds").isSuperset(of: clouds))
    }

    private static let sources = Document.root.appendingPathComponent("Sources")

    /// The modules that the Swift files of a module import.
    private static func imports(of module: String) throws -> Set<String> {
        let folder = sources.appendingPathComponent(module)
        let files = (FileManager.default.enumerator(atPath: folder.path)?.allObjects ?? []).compactMap { $0 as? String }
            .filter { $0.hasSuffix(".swift") }
        return try files.reduce(into: []) { imports, file in
            let text = try String(contentsOf: folder.appendingPathComponent(file), encoding: .utf8)
            imports.formUnion(
                text.matches(of: /(?m)^ *(?:@\w+ )?(?:package |public )?import (\w+)/).map { String($0.1) })
        }
    }

    private static func isOfACloud(_ file: String) -> Bool {
        let names = [file.prefix { $0 != "/" }, Substring((file as NSString).lastPathComponent)]
        return names.contains { name in ["AWS", "Azure", "Entra"].contains { name.hasPrefix($0) } }
    }
}
