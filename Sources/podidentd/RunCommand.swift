import Agent
import ArgumentParser
import Foundation
import Hardening
import Logging

struct RunCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Runs the agent.",
        discussion: """
            Attaches to the kernel and serves until it is stopped (SIGTERM). What is attached stays attached when the \
            agent ends, however it ends: pods are refused until the next one runs. 'podidentd uninstall' removes it.
            """
    )

    @OptionGroup var options: ConfigurationOptions

    func run() async throws {
        // Everything this process creates is its owner's alone.
        umask(0o077)
        let configuration = try options.load()
        LoggingSystem.bootstrap { StreamLogHandler.standardError(label: $0) }
        var logger = Logger(label: "podidentd")
        logger.logLevel = configuration.logLevel
        if configuration.filtersSystemCalls { try SystemCallFilter.starting.install() }
        let agent = try await Agent(configuration, logger: logger)
        if configuration.filtersSystemCalls { try SystemCallFilter.serving.install() }
        try await agent.run()
    }
}

struct ConfigCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "config", abstract: "Prints every configuration key with its meaning and default, as YAML."
    )

    func run() {
        print(ConfigurationKey.reference(), terminator: "")
    }
}

struct VersionCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "version", abstract: "Prints the version.")

    func run() {
        print("podidentd \(AgentVersion.current)")
    }
}

struct UninstallCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "uninstall",
        abstract: "Detaches from the kernel and removes every pin.",
        discussion: """
            From then on pods reach whatever serves the metadata address of this machine. Stop the agent first: a \
            running one holds what it has loaded until it ends, attached or not.
            """
    )

    @Option(name: .long, help: ArgumentHelp("bpf.pin-directory of the agent.", valueName: "path"))
    var pinDirectory = "/sys/fs/bpf/podidentd"

    func run() throws {
        let removed = try Uninstallation.run(pinDirectory: pinDirectory)
        if removed.isEmpty {
            print("nothing was installed at \(pinDirectory)")
        }
        for pin in removed { print("removed \(pin)") }
    }
}
