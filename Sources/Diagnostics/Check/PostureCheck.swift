import Attribution
import BPF
import Enforcement
import Logging
package import Operations
package import Settings

/// `podidentd check`: looks at one node from all sides and changes nothing on it, with an agent or without.
///
/// Each part is in an extension of its own; the first failures decide what the later ones can still look at.
package struct PostureCheck: Sendable {
    let configuration: AgentConfiguration
    /// Keys that were taken from the running agent.
    let borrowed: [String]
    /// Whether Google's services are asked as well.
    let isOnline: Bool
    let pins: PinDirectory
    let logger = Logger(label: "podidentd.check") { _ in SwiftLogNoOpLogHandler() }

    /// `configuration` may lack keys: the running agent is asked for them.
    package init(_ configuration: AgentConfiguration, isOnline: Bool) async {
        (self.configuration, borrowed) = await Self.complete(configuration)
        self.isOnline = isOnline
        self.pins = PinDirectory(path: configuration.pinDirectory)
    }

    /// Judges everything that can be found out.
    package func run() async -> Posture {
        let features = KernelFeatures.probe()
        let layout = CgroupLayoutFinding(configuration)
        let hooks = InstalledHook.all(below: pins)
        let isInstalled = hooks.contains { $0.state != .missing }
        let agent = await agentFinding(isInstalled: isInstalled)
        let given = configurationItems()
        var sections = given.isEmpty ? [] : [Posture.Section("Configuration", given)]
        sections += [
            Posture.Section("Kernel", kernel(features) + spiffeSocketPeers(layout)),
            Posture.Section("Cgroups", cgroups(layout) + otherKubepods(layout, isInstalled: isInstalled)),
            Posture.Section(
                "Hooks", hookItems(hooks, layout, isInstalled: isInstalled) + exclusivePrograms(layout)),
            Posture.Section(
                "Guards",
                guards(hooks, layout, isInstalled: isInstalled) + frames(isInstalled: isInstalled) + [bootGuard()]),
            Posture.Section("Paths", paths(features, layout, isInstalled: isInstalled)),
        ]
        sections.append(
            Posture.Section(
                "Connections from \(probesFrom)",
                await connections(hooks, layout, isAgentUp: agent.isUp, isInstalled: isInstalled)))
        sections.append(Posture.Section("Node credentials", await credentials()))
        sections.append(Posture.Section("Agent", agent.items))
        if isOnline {
            if configuration.servesGoogle { sections.append(Posture.Section("Google", await upstreams())) }
            sections += await cloudSections()
        }
        return Posture(
            version: AgentVersion.current, node: lacks("node-name") ? "(node-name is not set)" : configuration.nodeName,
            isInstalled: isInstalled, sections: sections)
    }
}

/// The hierarchy and the kubepods cgroup, as the agent would find them.
package struct CgroupLayoutFinding {
    var cgroups: CgroupFileSystem?
    var root: KubepodsRoot?
    var kubepods: KubepodsCgroup?
    /// Why there is less than everything.
    var problem: String?

    init(_ configuration: AgentConfiguration) {
        do {
            let cgroups = try CgroupFiles.open(mountPoint: configuration.cgroupMountPoint)
            self.cgroups = cgroups
            let root = try KubepodsSearch.root(configuration, in: cgroups)
            self.root = root
            kubepods = try KubepodsSearch.cgroup(of: root, in: cgroups)
        } catch {
            problem = "\(error)"
        }
    }
}
