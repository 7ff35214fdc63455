import Agent
import ArgumentParser
import Clouds
import FoundationEssentials
import Glibc
import Hardening
import Logging
import Operations
import Restart
import Settings
import Synchronization

struct RunCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Runs the agent.",
        discussion: """
            Attaches to the kernel and serves until it is stopped (SIGTERM). What is attached stays attached when the \
            agent ends, however it ends: pods are refused until the next one runs. 'podidentd uninstall' removes it.

            An agent that runs already hands its listening sockets over to this one and ends, and no request is lost: \
            that is an upgrade, and a graceful restart.

            SIGHUP reads the configuration again and applies what can change without a restart ('podidentd config' \
            marks it); the log names what cannot. It opens the audit file again as well.
            """
    )

    @OptionGroup var options: ConfigurationOptions

    @Flag(
        inversion: .prefixedNo,
        help: ArgumentHelp(
            "The agent is started again whenever it ends: once replaced, it waits for its successor's end.",
            discussion:
                "Default: as in a pod, that is if KUBERNETES_SERVICE_HOST is set. Under systemd with Restart=always: set it."
        ))
    var supervised: Bool?

    func run() async throws {
        // Everything this process creates is its owner's alone.
        umask(0o077)
        let supervisor = SupervisorLink(environment: ProcessInfo.processInfo.environment)
        let configuration = try options.load()
        let recentLog = RecentLog()
        let threshold = LogThreshold(configuration.logLevel)
        LoggingSystem.bootstrap {
            threshold.limiting(
                recentLog.keeping(LineLogHandler.standardError(label: $0, format: configuration.logFormat)))
        }
        let logger = Logger(label: "podidentd")
        let reload = ReloadSource(keys: ConfigurationKey.all, threshold: threshold) {
            [file = options.config, set = options.set] in
            try ConfigurationOptions.load(file: file, overrides: set)
        }
        // Every container of a pod has this variable, and the kubelet starts whatever ends.
        let isSupervised = supervised ?? (ProcessInfo.processInfo.environment["KUBERNETES_SERVICE_HOST"] != nil)
        if configuration.filtersSystemCalls { try SystemCallFilter.starting.install() }
        guard let opener = try Main.opener.withLock({ $0 })?.get() else {
            throw ValidationError("'run' must be the first argument")
        }
        let agent = try await Agent(
            configuration, logger: logger, recentLog: recentLog, reload: reload, supervisor: supervisor, opener: opener)
        if configuration.filtersSystemCalls { try SystemCallFilter.serving.install() }
        try await agent.run(isSupervised: isSupervised)
    }
}

struct ConfigCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "config", abstract: "Prints every configuration key with its meaning and default, as YAML."
    )

    @Flag(help: "Prints tables in Markdown instead: what docs/operate/configuration.md ends with.")
    var markdown = false

    func run() {
        print(
            markdown
                ? ConfigurationKey.markdown(of: ConfigurationKey.all)
                : ConfigurationKey.reference(of: ConfigurationKey.all), terminator: "")
    }
}

struct VersionCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "version", abstract: "Prints the version.")

    func run() {
        print("podidentd \(AgentVersion.current)")
    }
}
