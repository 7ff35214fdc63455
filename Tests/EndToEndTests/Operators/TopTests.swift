import AgentTesting
import Foundation
import Lab
import Operations
import Testing

/// `podidentd debug top` beside a running agent.
@Suite(.serialized, .timeLimit(.minutes(5)))
struct TopTests {
    private static let path = "/computeMetadata/v1/instance/service-accounts/default/token"

    @Test("top counts every answer of every pod, kept connection or new, and what was refused")
    func counts() async throws {
        try await withAgent { world, agent in
            world.addServiceAccount("app")
            let a = try await world.addPod("a", serviceAccount: "app")
            let b = try await world.addPod("b", serviceAccount: "app")
            _ = try await a.token()
            // A connection each, which ends with its answer: the fast path from the second on.
            let url = "http://\(LabNode.metadataAddress)\(Self.path)"
            for _ in 0..<3 {
                try #require(await a.run("curl", "-sf", "--http1.0", "-H", "Metadata-Flavor: Google", url).succeeded)
            }
            // One connection, two answers of which one is a refusal.
            _ = try await b.run(
                "curl", "-s", "-H", "Metadata-Flavor: Google", "http://\(LabNode.metadataAddress)/", url + "/nothing")
            let top = try await world.debug(agent, "top", "--once", "-o", "json", as: PodTop.self)
            #expect(top.node == LabWorld.nodeName && top.isSinceStart && top.seconds > 0)
            #expect(top.pods.map(\.pod) == ["a", "b"] && top.pods.map(\.uid) == [a.uid, b.uid])
            let (first, second) = (top.pods[0], top.pods[1])
            #expect(first.requests == 4 && first.refusals == 0 && first.tokens > 0 && first.failedTokens == 0)
            #expect((3000...3600).contains(try #require(first.leastTokenSecondsLeft)))
            #expect(second.requests == 2 && second.refusals == 1 && second.tokens == 0)
            for pod in top.pods {
                #expect(try #require(pod.p50Microseconds) <= (try #require(pod.p99Microseconds)))
            }
            let refused = try await world.debug(agent, "top", "--once", "--sort", "refusals", "--rows", "1")
            #expect(refused.output.contains("default    b") && refused.output.hasSuffix("and 1 more\n"))
            let one = try await world.debug(agent, "top", "--once", "--pod", "b", "-o", "json", as: PodTop.self)
            #expect(one.pods.map(\.uid) == [b.uid])
            // A pod that goes leaves nothing behind.
            await world.deletePod(a)
            try await world.eventually("the counts of a deleted pod are gone") {
                try await world.debug(agent, "top", "--once", "-o", "json", as: PodTop.self).pods.map(\.pod) == ["b"]
            }
        }
    }

    @Test(
        "top prints a table an interval, ends after a count, and draws on a terminal, in colours unless NO_COLOR says no"
    )
    func live() async throws {
        try await withAgent { world, agent in
            world.addServiceAccount("app")
            let pod = try await world.addPod("a", serviceAccount: "app")
            _ = try await pod.token()
            let lines = try await world.debug(agent, "top", "--count", "2", "--interval", "0.1", "-o", "json").output
                .split(separator: "\n")
            let tops = try lines.map { try JSONDecoder().decode(PodTop.self, from: Data($0.utf8)) }
            #expect(tops.count == 2 && tops.allSatisfy { !$0.isSinceStart && $0.seconds >= 0.1 })
            #expect(tops.allSatisfy { $0.pods.first?.requestsPerSecond == 0 && $0.pods.first?.requests == 1 })
            let command =
                "\(world.binaries)/podidentd debug top --count 1 --interval 0.1 --config \(agent.configurationPath)"
            for (variables, isPlain) in [(["TERM=xterm"], false), (["TERM=xterm", "NO_COLOR=1"], true)] {
                // script(1) gives the command a terminal.
                let drawn = try await Command.require(
                    ["env", "-u", "NO_COLOR"] + variables + ["script", "-qec", command, "/dev/null"])
                #expect(drawn.contains("\u{1b}[2J\u{1b}[H") && drawn.contains("REQ/S"), "\(drawn)")
                #expect(drawn.contains("\u{1b}[1m") != isPlain, "\(drawn)")
            }
            await agent.kill()
            let gone = try await world.debug(agent, "top", "--once")
            #expect(gone.status == 1 && gone.errorOutput.contains("no agent answers"))
            let bounded = try await world.debug(agent, "top", "--count", "1", "--interval", "0.1")
            #expect(bounded.status == 1 && bounded.output.isEmpty)
            for wrong in [["--interval", "0"], ["--count", "0"], ["--rows", "0"], ["--once", "--count", "1"]] {
                let result = try await Command.run([world.binaries + "/podidentd", "debug", "top"] + wrong)
                #expect(result.status == 64, "\(wrong)")
            }
        }
    }
}
