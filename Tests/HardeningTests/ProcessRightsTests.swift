import BPF
import CHardening
import CHardeningTestShims
import Foundation
import Glibc
import Hardening
import Testing

/// In processes of their own: what is given up does not come back.
@Suite(.timeLimit(.minutes(10))) struct ProcessRightsTests {
    @Test("of all rights the listed ones are left, and started programs have none")
    func capabilities() async {
        await #expect(processExitsWith: .success) {
            let before = try ProcessStatus(path: "/proc/thread-self/status")
            try ProcessRights.reduce()
            let status = try ProcessStatus(path: "/proc/thread-self/status")
            let expected = Capability.allMask & (before.capabilities("CapPrm") ?? 0)
            require(expected != 0, "run as root")
            require(status.capabilities("CapPrm") == expected, "permitted")
            require(status.capabilities("CapEff") == expected, "effective")
            require(status.capabilities("CapInh") == 0, "inheritable")
            require(status.capabilities("CapAmb") == 0, "ambient")
            require(status.capabilities("CapBnd") == 0, "bounding")
            require(status["NoNewPrivs"] == "1", "no new privileges")
            // A program that root starts has everything, unless the bounding set is empty.
            expect(unsafe system("grep -q '^CapEff:[[:space:]]*0*$' /proc/self/status"), 0)
        }
    }

    @Test("with the rights that are left cgroups are opened by their ID, and without CAP_DAC_READ_SEARCH none is")
    func cgroupsByID() async {
        await #expect(processExitsWith: .success) {
            let mountPoint = try CgroupFileSystem.findMountPoint() ?? "/sys/fs/cgroup"
            let cgroups = try CgroupFileSystem(mountPoint: mountPoint)
            guard let root = cgroups.id(of: [UInt8(ascii: "/")]) else { return require(false, "the root's ID") }
            try ProcessRights.reduce()
            require(cgroups.contains(root), "open by ID: errno \(errno)")
            let less = Capability.allMask & ~Capability.dacReadSearch.mask
            expect(hardening_keep_capabilities(less), 0)
            require(!cgroups.contains(root) && errno == EPERM, "opened, or errno \(errno)")
            require(cgroups.path(of: root) == nil, "a path by ID")
        }
    }

    @Test("there is no core file, and no other process looks into the memory")
    func dumps() async {
        await #expect(processExitsWith: .success) {
            try ProcessRights.reduce()
            var limit = rlimit()
            expect(unsafe getrlimit(__rlimit_resource_t(4), &limit), 0)  // RLIMIT_CORE
            require(limit.rlim_cur == 0 && limit.rlim_max == 0, "core limit")
            expect(test_is_dumpable(), 0)
        }
    }

    @Test("threads share two heaps, though they would have one each")
    func heaps() async {
        await #expect(processExitsWith: .success) { require(test_heaps_with_threads(4) > 4, "heaps without a limit") }
        await #expect(processExitsWith: .success) {
            ProcessHeap.limit()
            let before = test_heaps_with_threads(1)
            require(before > 0 && test_heaps_with_threads(4) <= max(before, 2), "heaps with a limit")
            ProcessHeap.releaseFree()
        }
    }
}
