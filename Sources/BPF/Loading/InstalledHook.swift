package import Attribution
import CLibbpf
import Glibc

/// One hook as it is pinned, by any agent: read without an agent, changing nothing.
package struct InstalledHook: Sendable, Equatable {
    /// The gain of a pod when the hook is missing.
    package enum Role: Sendable {
        /// A way to a protected address that this hook closes.
        case protection
        /// No gain: connections lose their identity or look different, and are refused.
        case service
    }

    package enum State: Sendable, Equatable {
        case missing
        /// The pin is there, but cannot be read.
        case unreadable(BPFError)
        /// The cgroup that it was attached to is gone, so the program runs no more.
        case severed
        case attached(Program, cgroup: CgroupID)
    }

    package struct Program: Sendable, Equatable {
        package var id: UInt32
        /// `nil`: the kernel shows name and tag to processes with CAP_SYS_ADMIN alone.
        package var identity: Identity?
    }

    package struct Identity: Sendable, Equatable {
        package var name: String
        /// The kernel's hash of the program's instructions, in hexadecimal: equal programs have equal tags.
        package var tag: String
    }

    package let name: String
    package let pin: String
    package let role: Role
    package let state: State

    /// Whether the program is this hook's by its name, of which the kernel keeps 15 bytes.
    package func runs(_ program: Identity) -> Bool {
        program.name.utf8.elementsEqual("nid_\(name)".utf8.prefix(15))
    }

    /// Reads every hook of an installation, in the order of attachment.
    package static func all(below pins: PinDirectory) -> [InstalledHook] {
        LibbpfLog.capture()
        defer { _ = LibbpfLog.take() }
        return DatapathSkeletons.Hook.allCases.map { hook in
            let pin = "\(pins.links)/\(hook)"
            let role: Role =
                switch hook {
                case .getpeername4, .getpeername6: .service
                default: .protection
                }
            return InstalledHook(name: "\(hook)", pin: pin, role: role, state: state(ofPin: pin))
        }
    }

    static func state(ofPin pin: String) -> State {
        do throws(BPFError) {
            guard let link = try BPFLink.pinned(at: pin) else { return .missing }
            guard let cgroup = try link.cgroupID() else {
                return .unreadable(BPFError("use the link at \(pin)", hint: "it is not a cgroup's"))
            }
            guard cgroup != 0 else { return .severed }
            return .attached(try link.program(), cgroup: CgroupID(rawValue: cgroup))
        } catch {
            return .unreadable(error)
        }
    }
}

extension BPFLink {
    /// The program that runs now.
    func program() throws(BPFError) -> InstalledHook.Program {
        try InstalledHook.Program(id: try programID())
    }
}

extension InstalledHook.Program {
    /// The program with this ID, also one that another process loaded.
    init(id: UInt32) throws(BPFError) {
        let descriptor = bpf_prog_get_fd_by_id(id)
        // From the ID to the program needs CAP_SYS_ADMIN (kernel/bpf/syscall.c, bpf_prog_get_fd_by_id); CAP_BPF has
        // read the link.
        if descriptor < 0, errno == EPERM {
            self.init(id: id, identity: nil)
            return
        }
        let program = try FileDescriptor(owning: descriptor, "open program \(id)")
        var info = bpf_prog_info()
        var length = UInt32(MemoryLayout<bpf_prog_info>.size)
        try check(unsafe bpf_obj_get_info_by_fd(program.rawValue, &info, &length), "read program \(id)")
        let name = unsafe withUnsafeBytes(of: &info.name) {
            unsafe String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
        }
        let tag = unsafe withUnsafeBytes(of: &info.tag) { bytes in
            unsafe bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
        }
        self.init(id: id, identity: InstalledHook.Identity(name: name, tag: tag))
    }
}

extension HostGuard {
    /// The guard of the network namespace of the calling thread: the pinned BPF links, or the table. `nil`: nothing.
    package static func installed(below pins: PinDirectory) throws(BPFError) -> Mechanism? {
        if places.allSatisfy({ unsafe access("\(pins.links)/\($0.pin)", F_OK) == 0 }) { return .bpf }
        return try hasTable() ? .nftables : nil
    }
}
