/// Names the rights that an attacker has on its node.
package enum Attacker: String, Sendable {
    /// A pod without any capability, and without a way to gain one.
    case unprivileged = "O-"
    /// A root container with the capabilities that container runtimes give by default.
    case ordinary = "O"
    /// An unprivileged pod in user and network namespaces of its own, where it has every capability.
    case namespaced = "O-ns"
    /// A tenant, who may create Services and namespaces, and needs nothing on the node.
    case tenant = "T"
    /// A process of another machine, or one of this machine that is no pod's.
    case remote = "R"

    /// The default set of containerd and Docker.
    private static let defaultCapabilities = [
        "chown", "dac_override", "fowner", "fsetid", "kill", "setgid", "setuid", "setpcap", "net_bind_service",
        "net_raw", "sys_chroot", "mknod", "audit_write", "setfcap",
    ]

    /// The command line that runs `arguments` with these rights.
    package func confine(_ arguments: [String]) -> [String] {
        let unprivileged = [
            "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all",
            "--no-new-privs", "--",
        ]
        switch self {
        case .remote, .tenant:
            return arguments
        case .unprivileged:
            return unprivileged + arguments
        case .ordinary:
            let bounding = (["-all"] + Self.defaultCapabilities.map { "+\($0)" }).joined(separator: ",")
            return ["setpriv", "--inh-caps=-all", "--bounding-set=\(bounding)", "--no-new-privs", "--"] + arguments
        case .namespaced:
            return unprivileged + ["unshare", "--user", "--map-root-user", "--net", "--"] + arguments
        }
    }

    /// The lab's attack program, which lies beside the running executable.
    package static func program() throws -> String { try Binaries.directory() + "/lab-attack" }
}

extension RunningPod {
    /// Starts the attack program in this pod with the rights of `attacker`.
    package func attack(_ arguments: [String], as attacker: Attacker, cgroup: String? = nil) throws -> Command {
        try start(attacker.confine([try Attacker.program()] + arguments), cgroup: cgroup)
    }
}
