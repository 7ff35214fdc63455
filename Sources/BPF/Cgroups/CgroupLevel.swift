package import Attribution
import CBPFPrograms
import CLibbpf
import Glibc
import Synchronization

extension CgroupFileSystem {
    /// ID and level of the cgroup at `path`, both the kernel's; `nil` if there is none.
    ///
    /// The level counts from the root of the whole hierarchy, level 0, as `bpf_get_current_ancestor_cgroup_id` does. No
    /// path tells it: in a cgroup namespace (kind, k3d) the mount's root is itself some levels down. It never changes
    /// while the cgroup lives, because cgroup v2 moves none.
    ///
    /// - Throws: Why the kernel did not say: no rights to run BPF programs, or no BTF.
    package func locate(_ path: [UInt8]) throws(BPFError) -> (id: CgroupID, level: Int)? {
        guard let directory = open(path) else { return nil }
        var status = stat()
        guard unsafe fstat(directory.rawValue, &status) == 0 else { return nil }
        let id = CgroupID(rawValue: UInt64(status.st_ino))
        return try level(of: directory, id: id).map { (id, $0) }
    }

    private func level(of directory: borrowing FileDescriptor, id: CgroupID) throws(BPFError) -> Int? {
        let descriptor = directory.rawValue
        let result = levelProgram.withLock { program -> Result<CInt, BPFError> in
            do throws(BPFError) {
                if program == nil { program = try LevelProgram() }
                return .success(try program?.run(descriptor: descriptor, id: id) ?? -EINVAL)
            } catch {
                return .failure(error)
            }
        }
        let level = try result.get()
        // Removed since it was opened.
        if level == -EINVAL { return nil }
        guard level >= 0 else {
            throw BPFError("read the level of cgroup \(id.rawValue)", errorNumber: -level)
        }
        return Int(level)
    }
}

/// The program that reads a cgroup's level (`bpf/level.bpf.c`), loaded and attached nowhere.
struct LevelProgram: ~Copyable {
    private let program: FileDescriptor

    init() throws(BPFError) {
        let skeleton = try unsafe Self.load("cgroup level")
        program = try FileDescriptor(
            owning: unsafe skeleton.withLayout { layout in
                unsafe fcntl(bpf_program__fd(layout.pointee.progs.nid_level), F_DUPFD_CLOEXEC, 0)
            }, "keep the cgroup level program")
    }

    /// Loads the object, which has the programs of ``NetworkNamespaceID/cookieByProgram()`` and ``UnixPeerCgroups`` as well.
    static func load(_ purpose: String) throws(BPFError) -> Skeleton<nid_level_skeleton> {
        try unsafe Skeleton(
            purpose,
            .init(
                open: nid_level_skeleton__open_opts, load: nid_level_skeleton__load,
                destroy: nid_level_skeleton__destroy))
    }

    /// The level of the cgroup behind `descriptor`, or a negative error number; `EINVAL`: its ID is not `id`, or it is
    /// gone.
    func run(descriptor: CInt, id: CgroupID) throws(BPFError) -> CInt {
        var arguments = (UInt64(descriptor), id.rawValue)
        var options = unsafe bpf_test_run_opts()
        unsafe options.sz = MemoryLayout<bpf_test_run_opts>.size
        unsafe options.ctx_size_in = UInt32(MemoryLayout.size(ofValue: arguments))
        let result = unsafe withUnsafeMutablePointer(to: &arguments) { context in
            unsafe options.ctx_in = UnsafeRawPointer(context)
            return unsafe bpf_prog_test_run_opts(program.rawValue, &options)
        }
        try check(result, "run the cgroup level program")
        return unsafe CInt(bitPattern: options.retval)
    }
}
