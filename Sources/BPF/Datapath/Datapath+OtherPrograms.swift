import CLibbpf
import Glibc

extension Datapath {
    /// A program of another owner attached where the agent's is.
    package struct OtherProgram: Sendable, Hashable {
        /// The hook's name.
        package let hook: String
        /// The kernel's number for it, as `bpftool prog show id` takes it.
        package let id: UInt32
    }

    /// The most programs that one cgroup can have at one hook (`BPF_CGROUP_MAX_PROGS`).
    private static let mostPrograms = 64

    /// The programs of others at the root of the hierarchy. A hook whose pin is gone is left out: which of its programs
    /// is the agent's is not known then.
    ///
    /// Some forty system calls.
    package func otherPrograms() -> Set<OtherProgram> {
        var others: Set<OtherProgram> = []
        for hook in DatapathSkeletons.Hook.ofRoot {
            // By the link, whose program a successor may have replaced.
            guard let own = try? BPFLink.pinned(at: "\(pins.links)/\(hook)")?.programID() else { continue }
            for id in programs(at: hook.attachType) where id != own {
                others.insert(OtherProgram(hook: "\(hook)", id: id))
            }
        }
        return others
    }

    private func programs(at type: bpf_attach_type) -> [UInt32] {
        var flags: UInt32 = 0
        var count = UInt32(Self.mostPrograms)
        let ids = unsafe [UInt32](unsafeUninitializedCapacity: Self.mostPrograms) { buffer, initialized in
            let result = unsafe bpf_prog_query(root.rawValue, type, 0, &flags, buffer.baseAddress, &count)
            initialized = result == 0 ? min(Int(count), Self.mostPrograms) : 0
        }
        return ids
    }
}
