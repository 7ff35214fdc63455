import Agent
import ArgumentParser
import Foundation

/// Where a command takes its configuration from.
struct ConfigurationOptions: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp(
            "The YAML configuration file.",
            discussion: "'podidentd config' prints every key with its meaning and default.", valueName: "path"
        )
    )
    var config: String?

    @Option(
        name: .long,
        help: ArgumentHelp(
            "Sets one key, over the file and the environment. May be repeated.", valueName: "key=value"
        )
    )
    var set: [String] = []

    /// Reads the file, the environment and the overrides, in this order of precedence.
    func load() throws -> AgentConfiguration {
        var file: (path: String, text: String)?
        if let config {
            guard let data = FileManager.default.contents(atPath: config) else {
                throw ConfigurationError("--config \(config): there is no such file, or it cannot be read")
            }
            file = (config, String(decoding: data, as: UTF8.self))
        }
        return try ConfigurationLoader.load(
            file: file, environment: ProcessInfo.processInfo.environment, overrides: set
        )
    }
}
