import Foundation
import Testing

@testable import Lab

/// The options for name resolution, as a pod sees them, and the document about them.
@Suite(.serialized, .timeLimit(.minutes(10)), ClientLabTrait())
struct NameOptionTests {
    @Test(
        "each option resolves the spellings that its table lists, also where a tenant claims the name",
        arguments: NameResolution.allCases, CLibrary.allCases)
    func resolves(resolution: NameResolution, library: CLibrary) async throws {
        let lab = try #require(ClientLabTrait.lab)
        let seen = try await lab.look(with: resolution, by: library)
        #expect(seen == NameTables.look(with: resolution, by: library))
    }
}

@Suite struct NameDocumentTests {
    private static func document(_ name: String) throws -> String {
        try String(contentsOfFile: "deploy/dns/" + name, encoding: .utf8)
    }

    @Test("deploy/dns/README.md holds the tables that the run of the real clients shows to be true")
    func tables() throws {
        let text = try Self.document("README.md")
        #expect(text.contains("\n\(NameTables.spellings)\n"), "\(NameTables.spellings)")
        #expect(text.contains("\n\(NameTables.clients)\n"), "\(NameTables.clients)")
    }

    @Test("the Corefile answers for the three names, the claimed one among them")
    func corefile() throws {
        let names = try Corefile.names(in: try Self.document("corefile.snippet"))
        #expect(
            names == [
                NameResolution.metadataName: LabNode.metadataAddress,
                NameResolution.claimedName: LabNode.metadataAddress, "metadata": LabNode.metadataAddress,
            ])
    }

    @Test(
        "what the lab does not understand of a Corefile is an error",
        arguments: [
            "a:53 {\n hosts {\n 192.0.2.1 b\n }\n}\n", "a:53 {\n forward . 192.0.2.1\n}\n", "a:53 {\n hosts {\n }\n",
            "192.0.2.1 a\n",
        ])
    func malformed(text: String) {
        #expect(throws: LabError.self) { try Corefile.names(in: text) }
    }

    @Test("a client's spelling is told by the first name that its resolver asks for")
    func spelling() {
        func observed(_ questions: String...) -> Set<Spelling> {
            Spelling.observed(in: questions, namespace: "n")
        }
        #expect(observed() == [])
        #expect(observed("metadata.n.svc.cluster.local", "metadata.svc.cluster.local", "metadata") == [.short])
        #expect(observed("metadata.google.internal.n.svc.cluster.local", NameResolution.claimedName) == [.name])
        #expect(observed("metadata.google.internal", "metadata.google.internal") == [.absolute])
    }
}
