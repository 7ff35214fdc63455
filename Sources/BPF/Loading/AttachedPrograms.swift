import CLibbpf
import Glibc

/// Programs that another owner attached to a cgroup at one hook in a way that lets no other program in.
///
/// A cgroup without `BPF_F_ALLOW_MULTI` takes one program at a hook, and the kernel refuses every other, below it as
/// well, with EPERM (`hierarchy_allows_attach` in kernel/bpf/cgroup.c).
package struct ExclusivePrograms: Sendable, Equatable {
    /// The kernel's name of the hook, as bpftool takes it: `cgroup_inet4_connect`.
    package let hook: String
    /// Whether they are attached to the cgroup itself, and not to one above it.
    package let isOwn: Bool
    /// `BPF_F_ALLOW_OVERRIDE`: programs of that kind below replace it, but join it nowhere.
    package let allowsOverride: Bool
    package let programs: [Program]

    /// One of the programs.
    package struct Program: Sendable, Equatable {
        /// The kernel's number for it.
        package let id: UInt32
        /// The first 15 bytes of its name; `nil`: reading it takes CAP_SYS_ADMIN, which the agent has given up.
        package let name: String?
    }

    /// The programs that keep links out of the cgroup behind `cgroup`; `nil`: nothing does, or it cannot be read.
    ///
    /// - Parameters:
    ///   - type: The hook.
    ///   - cgroup: The cgroup.
    ///   - isRefused: The kernel has just refused a link there, so that what is attached above, whose flags cannot be read
    ///     from here, is exclusive.
    init?(_ type: bpf_attach_type, at cgroup: borrowing FileDescriptor, isRefused: Bool) {
        guard let own = Query(type, at: cgroup, isEffective: false),
            own.flags & UInt32(BPF_F_ALLOW_MULTI) == 0
        else { return nil }
        let found: Query
        if own.programs.isEmpty {
            guard isRefused, let above = Query(type, at: cgroup, isEffective: true) else { return nil }
            found = above
        } else {
            found = own
        }
        guard !found.programs.isEmpty else { return nil }
        hook = unsafe String(cString: libbpf_bpf_attach_type_str(type))
        isOwn = !own.programs.isEmpty
        allowsOverride = own.flags & UInt32(BPF_F_ALLOW_OVERRIDE) != 0
        programs = found.programs.map { Program(id: $0, name: (try? InstalledHook.Program(id: $0))?.identity?.name) }
    }

    /// The programs that keep the agent's hooks out of the hierarchy mounted at `mountPoint`, as far as it is attached
    /// to its root.
    package static func all(at mountPoint: String) throws(BPFError) -> [ExclusivePrograms] {
        let root = unsafe try FileDescriptor(
            owning: open(mountPoint, O_RDONLY | O_DIRECTORY | O_CLOEXEC), "open \(mountPoint)")
        var found: [ExclusivePrograms] = []
        for hook in DatapathSkeletons.Hook.ofRoot {
            if let programs = ExclusivePrograms(hook.attachType, at: root, isRefused: false) { found.append(programs) }
        }
        return found
    }

    /// One clause: which programs are there, and how.
    package var summary: String {
        let names = programs.map { program in
            "program \(program.id)" + (program.name.map { " '\($0)'" } ?? "")
        }.joined(separator: ", ")
        let flags = allowsOverride ? "with BPF_F_ALLOW_OVERRIDE" : "without BPF_F_ALLOW_MULTI"
        return "\(names) is attached at \(hook) \(isOwn ? "of this cgroup" : "of a cgroup above") \(flags)"
    }

    /// The operator's remedy.
    package func remedy(at mountPoint: String) -> String {
        let place = isOwn ? mountPoint : "CGROUP"
        let unnamed = programs.filter { $0.name == nil }.map { "'bpftool prog show id \($0.id)' tells whose it is, " }
        return unnamed.joined()
            + programs.map { "'bpftool cgroup detach \(place) \(hook) id \($0.id)'" }.joined(separator: ", ")
            + " ends it, or its owner attaches it with BPF_F_ALLOW_MULTI"
    }

    /// The answer to one `BPF_PROG_QUERY`.
    private struct Query {
        var flags: UInt32 = 0
        var programs: [UInt32] = []

        /// The most programs that one cgroup can have at one hook (`BPF_CGROUP_MAX_PROGS`).
        private static let mostPrograms = 64

        init?(_ type: bpf_attach_type, at cgroup: borrowing FileDescriptor, isEffective: Bool) {
            var count = UInt32(Self.mostPrograms)
            var flags: UInt32 = 0
            var isRead = false
            programs = unsafe [UInt32](unsafeUninitializedCapacity: Self.mostPrograms) { buffer, initialized in
                let result = unsafe bpf_prog_query(
                    cgroup.rawValue, type, isEffective ? UInt32(BPF_F_QUERY_EFFECTIVE) : 0, &flags,
                    buffer.baseAddress, &count)
                isRead = result == 0
                initialized = isRead ? min(Int(count), Self.mostPrograms) : 0
            }
            guard isRead else { return nil }
            self.flags = flags
        }
    }
}
