import Attribution
import BPF
import Glibc
import Linux
import Netlink

/// Ways of packets from pods that pass none of the guards, as far as they can be seen from the node's network namespace.
///
/// Everything is read; nothing is tried.
struct NodePaths: Sendable {
    /// The interfaces of this process's network namespace.
    var interfaces: [NetworkInterface]
    /// `net.bridge.bridge-nf-call-iptables`; `nil`: the kernel has no br_netfilter.
    var bridgesCallNetfilter: Bool?
    /// Plug-ins of container networks that give pods interfaces of their own, by the files in /etc/cni/net.d.
    var directPlugins: [String]
    /// Cilium's configuration of the node, as its agent wrote it; `nil`: this process sees no such file.
    var ciliumConfiguration: String?

    /// Types of CNI plug-ins whose packets the node's network stack does not see.
    private static let direct = ["macvlan", "ipvlan", "sriov", "host-device", "ib-sriov", "dpdk"]

    init(
        interfaces: [NetworkInterface], bridgesCallNetfilter: Bool?, directPlugins: [String] = [],
        ciliumConfiguration: String? = nil
    ) {
        self.interfaces = interfaces
        self.bridgesCallNetfilter = bridgesCallNetfilter
        self.directPlugins = directPlugins
        self.ciliumConfiguration = ciliumConfiguration
    }

    /// Reads the node.
    ///
    /// - Parameter hostRoot: Where the node's root is mounted; empty if this process runs in it.
    /// - Throws: What the kernel said when the interfaces were to be listed.
    init(hostRoot: String) throws(NetlinkError) {
        var network = try NetworkInterfaces()
        interfaces = try network.list()
        bridgesCallNetfilter = Self.text("/proc/sys/net/bridge/bridge-nf-call-iptables").map { $0.hasPrefix("1") }
        let directory = hostRoot + "/etc/cni/net.d"
        let files = Self.entries(of: directory).compactMap { Self.text(directory + "/" + $0) }
        directPlugins = Self.direct.filter { plugin in
            files.contains { $0.filter { !$0.isWhitespace }.contains("\"type\":\"\(plugin)\"") }
        }
        ciliumConfiguration = Self.text(hostRoot + "/var/run/cilium/state/globals/node_config.h")
    }

    /// Bridges with pods' interfaces, whose frames to other ports no hook sees.
    var unseenBridges: [String] {
        guard bridgesCallNetfilter != true else { return [] }
        let withPods = Set(interfaces.filter { $0.kind == "veth" && $0.master != 0 }.map(\.master))
        return interfaces.filter { $0.kind == "bridge" && withPods.contains($0.index) }.map(\.name)
    }

    /// Whether Cilium is here, and whether it sends packets past the node's network stack; `nil`: not to be seen.
    var cilium: (isHere: Bool, usesHostRouting: Bool?) {
        let isHere = interfaces.contains { $0.name == "cilium_host" } || ciliumConfiguration != nil
        return (isHere, ciliumConfiguration?.contains("ENABLE_HOST_ROUTING"))
    }

    private static func text(_ path: String) -> String? {
        FileContents.read(path, atMost: 256 * 1024).map { String(decoding: $0, as: UTF8.self) }
    }

    private static func entries(of directory: String) -> [String] {
        guard let stream = unsafe opendir(directory) else { return [] }
        defer { unsafe closedir(stream) }
        var names: [String] = []
        while names.count < 256, let entry = unsafe readdir(stream) {
            names.append(
                unsafe withUnsafeBytes(of: &entry.pointee.d_name) {
                    unsafe String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
                })
        }
        return names.filter { !$0.hasPrefix(".") }.sorted()
    }
}

/// Pods in the node's network namespace that may write frames themselves.
struct HostNetworkPods: Sendable, Equatable {
    /// Their pod-level cgroups, or deeper ones.
    var cgroups: Set<String> = []
    /// Processes of another PID namespace, of which nothing can be seen.
    var unseen = 0

    /// Bits of capability sets (capabilities(7)).
    private static let netRaw: UInt64 = 1 << 13
    private static let sysAdmin: UInt64 = 1 << 21
    /// Cgroups that are looked at.
    private static let cgroupsMax = 65536

    /// Looks at each process below kubepods. Those with CAP_SYS_ADMIN are left out: they need no frames.
    init(below root: [UInt8], in cgroups: CgroupFileSystem) {
        guard let own = Self.namespace(of: "self") else { return }
        var level = [root]
        var seen = 0
        while !level.isEmpty, seen < Self.cgroupsMax {
            var next: [[UInt8]] = []
            for path in level {
                seen += 1
                let name = String(decoding: path, as: UTF8.self)
                for process in cgroups.processes(in: path) {
                    if process == 0 {
                        unseen += 1
                    } else if process != getpid(), Self.namespace(of: "\(process)") == own, Self.writesFrames(process) {
                        self.cgroups.insert(name)
                    }
                }
                next += cgroups.children(of: path).map(\.path)
            }
            level = next
        }
    }

    private static func namespace(of process: String) -> ino_t? {
        var info = stat()
        return unsafe stat("/proc/\(process)/ns/net", &info) == 0 ? info.st_ino : nil
    }

    private static func writesFrames(_ process: pid_t) -> Bool {
        guard let status = FileContents.read("/proc/\(process)/status") else { return false }
        return writesFrames(status: String(decoding: status, as: UTF8.self))
    }

    /// Whether a process may write frames and could not do more, by its `status` (proc_pid_status(5)).
    static func writesFrames(status: String) -> Bool {
        let lines = status.split(separator: "\n").map { $0.split(whereSeparator: { $0 == ":" || $0.isWhitespace }) }
        let line = lines.last { $0.count == 2 && $0[0] == "CapPrm" }
        let permitted = line.flatMap { UInt64($0[1], radix: 16) } ?? 0
        return permitted & netRaw != 0 && permitted & sysAdmin == 0
    }
}
