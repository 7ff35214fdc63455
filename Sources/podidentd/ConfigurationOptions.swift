import ArgumentParser
import Clouds
import FoundationEssentials
import Glibc
import Linux
import Settings

/// The place that a command takes its configuration from.
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
    ///
    /// - Throws: The exit status of a wrong call, after the fault was written to standard error.
    func load(isComplete: Bool = true) throws -> AgentConfiguration {
        do {
            return try Self.load(file: config, overrides: set, isComplete: isComplete)
        } catch let error as ConfigurationError {
            Screen.warn("Error: \(error)")
            throw ExitCode(EX_USAGE)
        }
    }

    /// Reads the file at `path`, the environment and the overrides, in this order of precedence.
    static func load(
        file path: String?, overrides: [String], isComplete: Bool = true
    ) throws -> AgentConfiguration {
        var file: (path: String, text: String)?
        if let path { file = (path, try text(of: path)) }
        return try ConfigurationLoader.load(
            file: file, environment: ProcessInfo.processInfo.environment, overrides: overrides,
            isComplete: isComplete
        )
    }

    /// The text of a configuration file.
    static func text(of path: String) throws -> String {
        do throws(RegularFile.Problem) {
            let bytes = try RegularFile.read(path, atMost: ConfigurationLoader.fileBytesMax)
            return String(decoding: bytes, as: UTF8.self)
        } catch {
            throw ConfigurationError("--config \(path) \(error)")
        }
    }
}
