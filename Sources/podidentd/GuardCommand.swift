import ArgumentParser
import BPF
import Enforcement
import Settings

struct GuardCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "guard",
        abstract: "Installs on a node what holds pods back from its boot until the agent's hooks are attached.",
        discussion: """
            A unit of systemd loads rules of nftables before the kubelet starts, because no hook outlives a reboot. The \
            agent removes the rules once its own hooks are attached. The unit acts from the next boot on. 'podidentd check' \
            says under guards.boot whether it is installed.
            """,
        subcommands: [GuardInstallCommand.self, GuardRulesCommand.self, GuardRemoveCommand.self]
    )
}

/// The rules and where they come from.
struct GuardOptions: ParsableArguments {
    @OptionGroup var options: ConfigurationOptions

    @Option(
        name: .long,
        help: ArgumentHelp(
            "A cgroup of the host's own services, which may reach the machine's metadata server. May be repeated.",
            valueName: "path"))
    var hostCgroup = ["system.slice", "init.scope"]

    func validate() throws {
        // The paths stand in quotes in a file that root loads.
        for path in hostCgroup where path.isEmpty || path.contains(where: { "\"\n\\".contains($0) }) {
            throw ValidationError("--host-cgroup takes a cgroup's path without quotes")
        }
    }

    func load() throws -> (AgentConfiguration, BootGuard) {
        let configuration = try options.load()
        let guarding = BootGuard(
            endpoints: configuration.redirectEndpoints.map(\.value),
            protectedEndpoints: configuration.protectedEndpoints,
            hostCgroups: hostCgroup.map { String($0.drop { $0 == "/" }) })
        return (configuration, guarding)
    }
}

/// The option of the two commands that change files.
struct HostRootOption: ParsableArguments {
    @Option(
        name: .long, help: ArgumentHelp("Where the host's root is mounted, in a container.", valueName: "path"))
    var hostRoot = ""
}

struct GuardInstallCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "install", abstract: "Writes unit and rules, and enables the unit.")

    @OptionGroup var options: GuardOptions
    @OptionGroup var host: HostRootOption

    func run() throws {
        let (configuration, guarding) = try options.load()
        let unit = BootGuardUnit(hostRoot: host.hostRoot)
        for path in try unit.install(guarding, pinDirectory: configuration.pinDirectory) { print("wrote \(path)") }
    }
}

struct GuardRulesCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rules", abstract: "Prints the rules, for 'nft -f' and for images that bring their own unit.")

    @OptionGroup var options: GuardOptions

    func run() throws {
        let (_, guarding) = try options.load()
        print(guarding.rules + guarding.cgroupRules, terminator: "")
    }
}

struct GuardRemoveCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "remove", abstract: "Removes unit and rules.",
        discussion: "Rules that are loaded stay until an agent's start, 'podidentd uninstall', or the next boot.")

    @OptionGroup var host: HostRootOption

    func run() {
        let removed = BootGuardUnit(hostRoot: host.hostRoot).remove()
        for path in removed { print("removed \(path)") }
        if removed.isEmpty { print("no boot guard is installed") }
    }
}
