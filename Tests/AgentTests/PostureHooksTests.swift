import Attribution
import Operations
import Testing
import UpstreamHTTP

@testable import BPF
@testable import Diagnostics
@testable import KubernetesAPI

/// Tests what `check` says of the kernel, the hooks and the node's credentials.
@Suite struct PostureHooksTests {
    typealias Presence = KernelFeatures.Presence

    static func features(
        release: String = "6.12.0", _ presence: Presence = .present, netfilter: Presence? = nil,
        nftables: Presence? = nil
    ) -> KernelFeatures {
        KernelFeatures(
            release: release, btf: presence, programTypes: [("cgroup_skb/egress", presence)],
            setReturnValue: presence, socketCgroup: presence, netfilterLinks: netfilter ?? presence,
            nftables: nftables ?? presence, interfaceLinks: presence, typedTracepoints: presence,
            namespaceHandles: presence)
    }

    private static func states(_ items: [Posture.Item]) -> [String: Posture.State] {
        Dictionary(items.map { ($0.id, $0.state) }, uniquingKeysWith: { first, _ in first })
    }

    @Test func `what could not be tried is not said to be there, and what an older kernel lacks is no fault`()
        async throws
    {
        let check = try await PostureCheck.of()
        func states(_ presence: Presence, _ netfilter: Presence? = nil, _ nftables: Presence? = nil) -> [String: Posture
            .State]
        {
            var states = Self.states(check.kernel(Self.features(presence, netfilter: netfilter, nftables: nftables)))
            states["kernel.bpf-file-system"] = nil
            states["kernel.version"] = nil
            return states
        }
        #expect(states(.present).values.allSatisfy { $0 == .ok })
        #expect(states(.unknown).values.allSatisfy { $0 == .unknown } && states(.unknown).count == 8)
        let absent = states(.absent)
        let harmless = absent.filter { $0.value == .ok }.keys.sorted()
        #expect(harmless == ["kernel.interfaces", "kernel.namespace-handles"])
        #expect(absent["kernel.program.cgroup_skb-egress"] == .degraded && absent["kernel.netfilter"] == .degraded)
        #expect(states(.absent, .absent, .present)["kernel.netfilter"] == .ok)
        #expect(states(.absent, .present, .absent)["kernel.netfilter"] == .ok)
        #expect(states(.absent, .absent, .unknown)["kernel.netfilter"] == .unknown)
    }

    @Test func `a hook counts where it belongs and with the agent's own program`() async throws {
        let check = try await PostureCheck.of()
        var layout = CgroupLayoutFinding(check.configuration)
        layout.kubepods = KubepodsCgroup(id: CgroupID(rawValue: 5), level: 1)
        func item(
            _ state: InstalledHook.State, _ name: String = "egress", _ role: InstalledHook.Role = .protection,
            isInstalled: Bool = true
        ) throws -> Posture.Item {
            let hook = InstalledHook(name: name, pin: "/pins/\(name)", role: role, state: state)
            return try #require(check.hookItems([hook], layout, isInstalled: isInstalled).first)
        }
        func attached(_ program: String?, at cgroup: UInt64) -> InstalledHook.State {
            let identity = program.map { InstalledHook.Identity(name: $0, tag: "0123") }
            return .attached(InstalledHook.Program(id: 7, identity: identity), cgroup: CgroupID(rawValue: cgroup))
        }
        #expect(try item(attached("nid_egress", at: 5)).state == .ok)
        let hidden = try item(attached(nil, at: 5))
        #expect(hidden.state == .ok && hidden.found.contains("its name needs CAP_SYS_ADMIN"))
        #expect(try item(attached("nid_egress", at: 6)).state == .unsafe)
        let other = try item(attached("tc_egress", at: 5))
        #expect(other.state == .unsafe && other.meaning.hasPrefix("This is not the agent's program."))
        #expect(try item(.missing).state == .unsafe)
        #expect(try item(.severed).state == .unsafe)
        #expect(try item(.unreadable(BPFError("read it"))).state == .unknown)
        // Connections look different without it, and reach the agent all the same.
        #expect(try item(.missing, "getpeername4", .service).state == .degraded)
        // Where the hook belongs is not known: there is no hierarchy here.
        #expect(try item(attached("nid_connect4", at: 5), "connect4").state == .unknown)
        #expect(try item(.missing, isInstalled: false).state == .unknown)
    }

    @Test func `credentials that may do more than a kubelet's are unsafe`() async throws {
        let check = try await PostureCheck.of()
        func state(_ username: String, _ groups: String...) -> Posture.State {
            check.judge(KubernetesClient.Identity(username: username, groups: groups, serverTime: nil)).state
        }
        #expect(state("system:node:node-a", "system:nodes", "system:authenticated") == .ok)
        #expect(state("system:node:node-b", "system:nodes") == .unsafe)
        #expect(state("system:node:node-a", "system:authenticated") == .unsafe)
        #expect(state("system:serviceaccount:podidentd:agent", "system:nodes") == .unsafe)
        #expect(state("system:node:node-a", "system:nodes", "system:masters") == .unsafe)
    }

    @Test func `a clock that is a minute off is told with its direction`() async throws {
        let check = try await PostureCheck.of()
        func item(_ seconds: Int64) -> Posture.Item {
            check.clock(UnixInstant(sinceEpoch: UnixInstant.now().sinceEpoch + .seconds(seconds)))
        }
        for seconds in [-5, 0, 5] as [Int64] { #expect(item(seconds).state == .ok) }
        #expect(item(-60).state == .degraded && item(-60).found.contains("s ahead of that of the API server"))
        #expect(item(60).state == .degraded && item(60).found.contains("s behind that of the API server"))
    }

    @Test func `tokens are tried for one pod of each ServiceAccount that could get one, and for few of them`() throws {
        func pod(_ number: Int, _ account: String, _ phase: PodRecord.Phase = .running) throws -> PodRecord {
            let digits = String(number + 100_000_000_000)
            let uid = try #require(PodUID("00000000-0000-0000-0000-\(digits)"))
            return PodRecord(uid: uid, namespace: "ns", name: "p\(number)", serviceAccountName: account, phase: phase)
        }
        var leaving = try pod(4, "d")
        leaving.isTerminating = true
        var mirror = try pod(5, "e")
        mirror.staticPodConfigHash = String(repeating: "a", count: 32)
        var elsewhere = try pod(6, "a")
        elsewhere.namespace = "other"
        let pods = [
            try pod(1, "a"), try pod(2, "a"), try pod(3, "b", .pending), leaving, mirror, elsewhere, try pod(7, ""),
        ]
        #expect(PostureCheck.candidates(pods).map(\.name) == ["p1", "p6"])
        let many = try (1...30).map { try pod($0, "account-\($0)") }
        #expect(PostureCheck.candidates(many).count == PostureCheck.candidatesMax)
    }
}
