import CLibbpf
import Glibc

/// One attachment of a program to a cgroup.
///
/// Dropping the value closes the link: an unpinned attachment ends there, a pinned one lives on in the BPF file
/// system.
@safe
struct BPFLink: ~Copyable {
    private let link: OpaquePointer

    /// Attaches `program` to the cgroup behind `cgroup`.
    init(attaching program: borrowing BPFProgram, toCgroup cgroup: borrowing FileDescriptor) throws(BPFError) {
        guard let link = unsafe bpf_program__attach_cgroup(program.pointer, cgroup.rawValue) else {
            throw Self.refusal(of: program, by: cgroup, errno)
        }
        unsafe self.link = link
    }

    /// The reason why the kernel did not attach `program`. EPERM need not be for want of rights: see
    /// ``ExclusivePrograms``.
    private static func refusal(
        of program: borrowing BPFProgram, by cgroup: borrowing FileDescriptor, _ number: CInt
    ) -> BPFError {
        let type = unsafe bpf_program__expected_attach_type(program.pointer)
        let others = number == EPERM ? ExclusivePrograms(type, at: cgroup, isRefused: true) : nil
        let place = CgroupFileSystem.path(ofDescriptor: cgroup.rawValue).map { String(decoding: $0, as: UTF8.self) }
        let operation = "attach \(program.name) to the cgroup \(place ?? "behind a descriptor")"
        guard let others else { return BPFError(operation, errorNumber: number) }
        return BPFError(
            operation, errorNumber: number,
            hint: "\(others.summary), which keeps all others out; \(others.remedy(at: place ?? "CGROUP"))")
    }

    private init(_ link: OpaquePointer) {
        unsafe self.link = link
    }

    deinit {
        unsafe bpf_link__destroy(link)
    }

    var descriptor: CInt { unsafe bpf_link__fd(link) }

    /// Reopens the link pinned at `path`, or returns `nil` if nothing is pinned there.
    static func pinned(at path: String) throws(BPFError) -> BPFLink? {
        guard let link = unsafe bpf_link__open(path) else {
            if errno == ENOENT { return nil }
            throw BPFError("open the link pinned at \(path)", errorNumber: errno)
        }
        return unsafe BPFLink(link)
    }

    /// Keeps the attachment alive beyond this process, in the place of what is pinned at `path`. Makes the directory if it is
    /// gone.
    func pin(inPlaceOf path: String) throws(BPFError) {
        try replacePin(at: path) { temporary throws(BPFError) in
            try check(unsafe bpf_link__pin(link, temporary), "pin a link at \(temporary)")
        }
    }

    /// Replaces the attached program. Every connection sees the old or the new one, never none.
    ///
    /// - Returns: `false` if the link is severed: its cgroup is gone (`ENOLINK`).
    func replaceProgram(with program: borrowing BPFProgram) throws(BPFError) -> Bool {
        let result = unsafe bpf_link__update_program(link, program.pointer)
        if result == -ENOLINK { return false }
        try check(
            result,
            "replace the pinned program of \(program.name); 'podidentd uninstall' removes links that are not ours"
        )
        return true
    }

    /// The cgroup that the link is attached to; `nil` for a link that is not a cgroup's.
    func cgroupID() throws(BPFError) -> UInt64? {
        let info = try info()
        return info.type == BPF_LINK_TYPE_CGROUP.rawValue ? info.cgroup.cgroup_id : nil
    }

    /// The kernel's number for the program that runs now.
    func programID() throws(BPFError) -> UInt32 { try info().prog_id }

    private func info() throws(BPFError) -> bpf_link_info {
        var info = bpf_link_info()
        var length = UInt32(MemoryLayout<bpf_link_info>.size)
        try check(unsafe bpf_obj_get_info_by_fd(descriptor, &info, &length), "read a pinned link")
        return info
    }
}

/// A loaded program, borrowed from the object that owns it.
@safe
struct BPFProgram: ~Copyable {
    let pointer: OpaquePointer
    let name: String

    var descriptor: CInt { unsafe bpf_program__fd(pointer) }

    /// The kernel's number for it.
    func id() throws(BPFError) -> UInt32 {
        var info = bpf_prog_info()
        var length = UInt32(MemoryLayout<bpf_prog_info>.size)
        try check(unsafe bpf_obj_get_info_by_fd(descriptor, &info, &length), "read the program \(name)")
        return info.id
    }

    init(_ pointer: OpaquePointer?, of object: String) throws(BPFError) {
        guard let pointer = unsafe pointer else {
            throw BPFError("find a program in the object \(object)")
        }
        unsafe self.pointer = pointer
        self.name = unsafe String(cString: bpf_program__name(pointer))
    }
}

/// Pins a link in the place of what is pinned at `path`.
func pin(_ link: CInt, inPlaceOf path: String) throws(BPFError) {
    try replacePin(at: path) { temporary throws(BPFError) in
        try check(unsafe bpf_obj_pin(link, temporary), "pin a link at \(temporary)")
    }
}

/// Replaces what is pinned at `path` by what `pin` pins at the path it is given: the new one works before the old one's pin goes.
private func replacePin(at path: String, by pin: (String) throws(BPFError) -> Void) throws(BPFError) {
    let temporary = path + "-next"
    unsafe unlink(temporary)
    try pin(temporary)
    guard unsafe rename(temporary, path) == 0 else {
        throw BPFError("replace the pin at \(path)", errorNumber: errno)
    }
}
