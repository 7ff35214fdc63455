package import BPF
import FoundationEssentials
import Glibc
import Linux
import Settings

/// The files on a node that load the ``BootGuard`` before the kubelet starts: a unit of systemd and two of nft's.
package struct BootGuardUnit: Sendable {
    /// The directory where the host's root is mounted; empty: at the root.
    package let hostRoot: String

    package static let name = "podidentd-boot-guard.service"
    private static let rulesPath = "/etc/podidentd/boot-guard.nft"
    private static let cgroupRulesPath = "/etc/podidentd/boot-guard-cgroups.nft"
    private static let unitPath = "/etc/systemd/system/\(name)"
    private static let wantPath = "/etc/systemd/system/multi-user.target.wants/\(name)"

    /// Every kubelet, and what starts containers for one.
    private static let kubelets = [
        "kubelet", "k3s", "k3s-agent", "rke2-server", "rke2-agent", "k0scontroller", "k0sworker",
        "snap.microk8s.daemon-kubelite", "snap.microk8s.daemon-containerd", "containerd", "crio", "docker",
    ]

    package init(hostRoot: String) {
        self.hostRoot = hostRoot
    }

    /// Whether the unit is there and enabled.
    package var isInstalled: Bool {
        [Self.unitPath, Self.wantPath].allSatisfy { path in
            var info = stat()
            return unsafe lstat(hostRoot + path, &info) == 0
        }
    }

    /// The unit's text. It does nothing on a node whose hooks are pinned below `pinDirectory`.
    package static func unit(pinDirectory: String) -> String {
        """
        # Written by 'podidentd guard install': see docs/operate/operations.md.
        [Unit]
        Description=Holds pods back from the machine's metadata server until podidentd's hooks are attached
        # A firewall that flushes all rules when it starts must have done so.
        After=nftables.service firewalld.service systemd-modules-load.service
        Before=\(kubelets.map { $0 + ".service" }.joined(separator: " "))
        ConditionPathExists=!\(pinDirectory)/links/connect4

        [Service]
        Type=oneshot
        RemainAfterExit=yes
        ExecStart=/usr/bin/env nft -f \(rulesPath)
        # Linux 5.13 knows a socket's cgroup. Without that the first rules stay as they are.
        ExecStart=-/usr/bin/env nft -f \(cgroupRulesPath)

        [Install]
        WantedBy=multi-user.target

        """
    }

    /// Writes the files, each whole or not at all, and enables the unit from the next boot on.
    ///
    /// - Parameters:
    ///   - guarding: The rules.
    ///   - pinDirectory: `bpf.pin-directory` of the agent, as the host sees it.
    /// - Throws: ``AgentError`` that names the file.
    /// - Returns: The paths on the host.
    package func install(_ guarding: BootGuard, pinDirectory: String) throws -> [String] {
        guard unsafe access(hostRoot + "/etc/systemd/system", F_OK) == 0 else {
            throw AgentError("\(hostRoot)/etc/systemd/system: no such directory; does the node use systemd?")
        }
        try write(guarding.rules, to: Self.rulesPath)
        try write(guarding.cgroupRules, to: Self.cgroupRulesPath)
        try write(Self.unit(pinDirectory: pinDirectory), to: Self.unitPath)
        try makeDirectory(of: Self.wantPath)
        if unsafe symlink("../" + Self.name, hostRoot + Self.wantPath) != 0, errno != EEXIST {
            throw failure(Self.wantPath)
        }
        return Self.paths
    }

    /// Removes the files, whatever of them is there.
    ///
    /// - Returns: What was removed.
    package func remove() -> [String] {
        Self.paths.reversed().map { hostRoot + $0 }.filter { unsafe unlink($0) == 0 }
    }

    private static var paths: [String] { [rulesPath, cgroupRulesPath, unitPath, wantPath] }

    private func write(_ text: String, to path: String) throws {
        try makeDirectory(of: path)
        do {
            try Data(text.utf8).write(to: URL(filePath: hostRoot + path), options: .atomic)
        } catch {
            throw AgentError("cannot write \(hostRoot + path): \(error)")
        }
        guard unsafe chmod(hostRoot + path, 0o644) == 0 else { throw failure(path) }
    }

    private func makeDirectory(of path: String) throws {
        let directory = hostRoot + path[..<(path.lastIndex(of: "/") ?? path.startIndex)]
        guard unsafe mkdir(directory, 0o755) == 0 || errno == EEXIST else { throw failure(path) }
    }

    private func failure(_ path: String) -> AgentError {
        AgentError("cannot write \(hostRoot + path): \(errorText(errno))")
    }
}
