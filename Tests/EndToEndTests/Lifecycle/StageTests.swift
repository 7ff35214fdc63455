import AgentTesting
import Foundation
import Lab
import Testing

/// The stage that the benchmarks stand on: a wrong count of pods or calls would be a wrong figure.
@Suite(.serialized, .timeLimit(.minutes(10)))
struct StageTests {
    private struct Answer<Value: Decodable>: Decodable {
        var ok: Value?
        var error: String?
    }

    private struct Pod: Decodable {
        var uid: String
        var cgroup: String
        var network: String
    }

    private struct Call: Decodable {
        var server: String
        var path: String
        var begin: Int64
        var end: Int64
    }

    private func obey<Value: Decodable>(_ stage: Stage, _ line: String, as: Value.Type) async throws -> Answer<Value> {
        try JSONDecoder().decode(Answer<Value>.self, from: Data(await stage.obey(line).utf8))
    }

    @Test("As many pods as were asked for have cgroups and namespaces, and those that went have none")
    func pods() async throws {
        try await withWorld { world in
            let stage = Stage(world: world)
            let three = try #require(try await obey(stage, #"{"command": "pods", "count": 3}"#, as: [Pod].self).ok)
            #expect(three.count == 3)
            #expect(three.allSatisfy { FileManager.default.fileExists(atPath: $0.cgroup + "/cgroup.procs") })
            #expect(three.allSatisfy { FileManager.default.fileExists(atPath: $0.network) })
            let one = try #require(try await obey(stage, #"{"command": "pods", "count": 1}"#, as: [Pod].self).ok)
            #expect(one.map(\.uid) == [three[0].uid])
            #expect(!FileManager.default.fileExists(atPath: three[2].cgroup))
            #expect(!FileManager.default.fileExists(atPath: three[2].network))
        }
    }

    @Test("A pod's first token is three calls, late by what was asked for, and each call is told once")
    func upstreamCalls() async throws {
        try await withWorld { world in
            let stage = Stage(world: world)
            _ = try await obey(stage, #"{"command": "pods", "count": 1}"#, as: [Pod].self)
            let pod = try #require(world.node.pods.first)
            _ = try await world.startAgent()
            _ = try await obey(stage, #"{"command": "delay", "milliseconds": 20}"#, as: String?.self)
            _ = try await obey(stage, #"{"command": "upstream"}"#, as: [Call].self)
            let result = try await pod.run(
                "curl", "-sS", "--fail-with-body", "--max-time", "10", "-H", "Metadata-Flavor: Google",
                "http://169.254.169.254/computeMetadata/v1/instance/service-accounts/default/token"
            )
            #expect(result.succeeded, "\(result.output)\(result.errorOutput)")
            let calls = try #require(try await obey(stage, #"{"command": "upstream"}"#, as: [Call].self).ok)
            let minting = calls.filter { $0.server != "kubernetes" || $0.path.hasSuffix("/token") }
            #expect(Set(minting.map(\.server)) == ["kubernetes", "sts", "iam"])
            #expect(minting.count == 3)
            #expect(minting.allSatisfy { $0.end - $0.begin >= 20_000 }, "\(minting)")
            let again = try #require(try await obey(stage, #"{"command": "upstream"}"#, as: [Call].self).ok)
            #expect(!again.contains { $0.server != "kubernetes" || $0.path.hasSuffix("/token") })
        }
    }

    @Test("What is no command is answered with an error, and the stage goes on")
    func nonsense() async throws {
        try await withWorld { world in
            let stage = Stage(world: world)
            for line in ["", "{", #"{"command": "dance"}"#, "[]"] {
                let answer = try await obey(stage, line, as: String?.self)
                #expect(answer.error != nil, "\(line)")
            }
            #expect(try await obey(stage, #"{"command": "pods", "count": 0}"#, as: [Pod].self).ok?.isEmpty == true)
        }
    }
}
