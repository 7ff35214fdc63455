import Attribution
import Glibc
import Operations
import Testing

@testable import BPF
@testable import Diagnostics

/// Tests what `check` tries as a pod would, and what it makes of the outcome.
@Suite struct PostureConnectionsTests {
    private static let endpoints = "redirect.endpoints=169.254.169.254,fd20:ce::254"
    private static let uid = "11111111-2222-3333-4444-555555555555"

    @Test func `each address is tried in every form, and nothing whose hook is not named`() async throws {
        let check = try await PostureCheck.of(
            Self.endpoints, "guard.clouds=", "guard.endpoints=192.0.2.7:8443,2001:db8::1", "listen.port=988")
        let found = check.trials.map { "\($0.id.dropFirst("connections.".count)) \($0.expectation) \($0.needs)" }
        #expect(
            found == [
                #"tcp.169.254.169.254:80 agent ["connect4"]"#,
                #"tcp.[::ffff:169.254.169.254]:80 agent ["connect6"]"#,
                #"tcp.169.254.169.254:443 refused ["connect4"]"#,
                #"tcp.169.254.169.254:8080 refused ["connect4"]"#,
                #"udp.169.254.169.254:80 refused ["egress"]"#, #"raw.169.254.169.254:80 refused ["egress"]"#,
                "udp.169.254.169.254:53 open []", "udp.169.254.169.254:123 open []",
                #"tcp.[fd20:ce::254]:80 agent ["connect6"]"#, #"tcp.[fd20:ce::254]:443 refused ["connect6"]"#,
                #"tcp.[fd20:ce::254]:8080 refused ["connect6"]"#, #"udp.[fd20:ce::254]:80 refused ["egress"]"#,
                #"raw.[fd20:ce::254]:80 refused ["egress"]"#, #"tcp.192.0.2.7:8443 refused ["connect4"]"#,
                #"tcp.[2001:db8::1]:80 refused ["connect6"]"#,
            ])
        // A request is sent to the agent alone, at the ports that it may have.
        for trial in check.trials { #expect(trial.probe.agents.isEmpty == (trial.expectation != .agent)) }
        #expect(
            check.agents.count == 16 && check.agents.contains("127.0.0.1:981") && check.agents.contains("[::1]:988"))
        #expect(!check.agents.contains("127.0.0.1:980"))
    }

    @Test func `a probe whose hook is missing, or at another cgroup, is not made`() {
        func obstacle(_ state: InstalledHook.State) -> Posture.State? {
            let hook = InstalledHook(name: "connect4", pin: "/pins/connect4", role: .protection, state: state)
            return PostureCheck.obstacle(hook, CgroupID(rawValue: 5))?.state
        }
        let program = InstalledHook.Program(id: 1, identity: nil)
        #expect(obstacle(.attached(program, cgroup: CgroupID(rawValue: 5))) == nil)
        #expect(obstacle(.attached(program, cgroup: CgroupID(rawValue: 6))) == .unsafe)
        #expect(obstacle(.missing) == .unsafe)
        #expect(obstacle(.severed) == .unsafe)
        #expect(obstacle(.unreadable(BPFError("read it"))) == .unknown)
    }

    private static func trial(
        _ expectation: PostureCheck.Expectation, _ kind: SocketProbe.Kind = .connect
    ) -> PostureCheck.Trial {
        PostureCheck.Trial(
            id: "t", probe: SocketProbe(kind: kind, address: "169.254.169.254", port: 80, agents: ["127.0.0.1:988"]),
            expectation: expectation, needs: [])
    }

    @Test func `what must be refused is safe when the kernel refused it, and else not taken for safe`() async throws {
        let check = try await PostureCheck.of(Self.endpoints)
        func state(_ number: Int32, _ kind: SocketProbe.Kind = .connect) -> Posture.State {
            check.judge(Self.trial(.refused, kind), SocketProbeResult(errorNumber: number), isAgentUp: true).state
        }
        for number in [ECONNREFUSED, EPERM, EACCES, EAFNOSUPPORT, EADDRNOTAVAIL] { #expect(state(number) == .ok) }
        for number in [0, ETIMEDOUT, ECONNRESET] { #expect(state(number) == .unsafe) }
        for number in [ENETUNREACH, EHOSTUNREACH] {
            #expect(state(number) == .unknown)
            #expect(state(number, .datagram) == .untried && state(number, .raw) == .untried)
        }
        let reached = check.judge(
            Self.trial(.refused), SocketProbeResult(errorNumber: 0, remote: "169.254.169.254:443"), isAgentUp: true)
        #expect(reached.found == "connected to 169.254.169.254:443")
        let untried = SocketProbeResult(errorNumber: EPERM, isUntried: true)
        #expect(check.judge(Self.trial(.refused, .raw), untried, isAgentUp: true).state == .untried)
    }

    @Test func `what must stay open is open unless the kernel refuses it`() async throws {
        let check = try await PostureCheck.of(Self.endpoints)
        func state(_ number: Int32) -> Posture.State {
            check.judge(Self.trial(.open, .datagram), SocketProbeResult(errorNumber: number), isAgentUp: true).state
        }
        for number in [0, ENETUNREACH, EHOSTUNREACH, EADDRNOTAVAIL] { #expect(state(number) == .ok) }
        for number in [ECONNREFUSED, EPERM] { #expect(state(number) == .degraded) }
    }

    @Test func `a redirected connection is judged by who answers, and what`() async throws {
        let inPod = try await PostureCheck.of(Self.endpoints, "pod-uid=\(Self.uid)")
        let onNode = try await PostureCheck.of(Self.endpoints)
        func judge(
            _ number: Int32, _ remote: String? = nil, _ status: Int? = nil, _ body: String? = nil,
            by check: PostureCheck, isAgentUp: Bool = true
        ) -> Posture.Item {
            let result = SocketProbeResult(errorNumber: number, remote: remote, status: status, body: body)
            return check.judge(Self.trial(.agent), result, isAgentUp: isAgentUp)
        }
        #expect(judge(ECONNREFUSED, by: onNode, isAgentUp: false).state == .ok)
        let refused = judge(ECONNREFUSED, by: onNode)
        #expect(
            refused.state == .degraded && refused.meaning.contains("Nothing listens at 127.0.0.1 or [::1], port 988"))
        let late = judge(ETIMEDOUT, by: onNode, isAgentUp: false)
        #expect(late.state == .degraded && late.meaning.contains("drop what stays on the interface lo"))
        #expect(judge(0, by: onNode).state == .unknown)
        let stranger = judge(0, "169.254.169.254:80", by: onNode)
        #expect(stranger.state == .unsafe && stranger.found.hasPrefix("redirected to 169.254.169.254:80, which is not"))
        let reset = judge(0, "127.0.0.1:988", by: onNode)
        #expect(reset.state == .degraded && reset.found.hasSuffix("which reset the connection"))
        // A cgroup that is no pod's is refused by the agent: that it answers is enough.
        #expect(judge(0, "127.0.0.1:988", 403, by: onNode).state == .ok)
        #expect(judge(0, "127.0.0.1:988", 503, "try again", by: inPod).state == .degraded)
        #expect(judge(0, "127.0.0.1:988", 200, Self.uid, by: inPod).state == .ok)
        for body in [nil, "99999999-2222-3333-4444-555555555555"] {
            #expect(judge(0, "127.0.0.1:988", 200, body, by: inPod).state == .unsafe)
        }
    }
}
