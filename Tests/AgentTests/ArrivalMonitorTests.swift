import Attribution
import BPF
import Testing

@testable import Enforcement

/// Findings about connections that were redirected and did not arrive.
@Suite struct ArrivalMonitorTests {
    private struct NoCgroups: CgroupPathResolving {
        func path(of id: CgroupID) -> [UInt8]? { nil }
    }

    @Test("one pod whose connections do not arrive is named, and two concern the node")
    func pods() throws {
        let index = CgroupIndex(root: try KubepodsRoot("/kubepods"), resolver: NoCgroups())
        let uids = try (1...2).map { try #require(PodUID("00000000-0000-0000-0000-00000000000\($0)")) }
        let cgroups = [CgroupID(rawValue: 1), CgroupID(rawValue: 2)]
        for (cgroup, uid) in zip(cgroups, uids) { index.observe(cgroup, path: Array("/kubepods/pod\(uid)".utf8)) }
        let monitor = ArrivalMonitor(ownPod: nil, index: index, directory: PodDirectory())
        let failing = PodTraffic(redirected: 4, arrived: 1, unarrived: 3)

        for _ in 0..<2 { monitor.look(at: [cgroups[0]: failing]) }
        #expect(monitor.current == ArrivalMonitor.Finding(pods: [uids[0]], concernsNode: false))
        for _ in 0..<2 { monitor.look(at: [cgroups[0]: failing, cgroups[1]: failing]) }
        #expect(monitor.current == ArrivalMonitor.Finding(pods: Set(uids), concernsNode: true))
        monitor.look(at: [cgroups[0]: PodTraffic(redirected: 5, arrived: 2)])
        #expect(monitor.current == ArrivalMonitor.Finding())
    }
}
