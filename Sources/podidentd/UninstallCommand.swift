import ArgumentParser
import Enforcement

struct UninstallCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "uninstall",
        abstract: "Detaches from the kernel and removes every pin and socket.",
        discussion: """
            From then on pods reach whatever serves the metadata address of this machine. Stop the agent first. Prints \
            what it removed; doing it again removes nothing.
            """
    )

    @Option(name: .long, help: ArgumentHelp("bpf.pin-directory of the agent.", valueName: "path"))
    var pinDirectory = "/sys/fs/bpf/podidentd"

    @Option(name: .long, help: ArgumentHelp("admin.socket of the agent.", valueName: "path"))
    var socket = "/run/podidentd/admin.sock"

    @Option(
        name: .long,
        help: ArgumentHelp(
            "Where the host's root is mounted, in a container: the boot guard's unit lies below it.",
            valueName: "path"))
    var hostRoot = ""

    @Flag(help: "Also while an agent runs: it holds what it has attached until it ends, and that goes with it.")
    var force = false

    func run() throws {
        do {
            let removed = try Uninstallation.run(
                pinDirectory: pinDirectory, adminSocket: socket, hostRoot: hostRoot, isForced: force)
            if removed.isEmpty { print("nothing was installed at \(pinDirectory)") }
            report(removed)
        } catch let error as IncompleteUninstallation {
            report(error.removed)
            throw error
        }
    }

    private func report(_ removed: [String]) {
        for path in removed { print("removed \(path)") }
    }
}
