import YAML

/// Puts the configuration together: defaults, then the file, then the environment, then the command line.
package enum ConfigurationLoader {
    /// The largest file that is read. The complete configuration is about 2 KiB.
    package static let fileBytesMax = 256 * 1024

    /// - Parameters:
    ///   - file: The YAML file's text and its path for error messages.
    ///   - environment: All of the process's variables; those that begin with `PODIDENTD_` count.
    ///   - overrides: `key=value` of the command line.
    ///   - keys: Every key that there is.
    ///   - isComplete: Whether every key without a default must be set. Without, ``AgentConfiguration/missing`` names
    ///     those that are not: for a command that can do without some.
    /// - Returns: A configuration in which every key that is set has an allowed value.
    /// - Throws: ``ConfigurationError`` that names the key, where it was set, and what is allowed; or all keys that are
    ///   not set, at once.
    package static func load(
        file: (path: String, text: String)?, environment: [String: String], overrides: [String],
        keys: [ConfigurationKey], isComplete: Bool
    ) throws -> AgentConfiguration {
        let values = try self.values(file: file, environment: environment, overrides: overrides, keys: keys)
        try RemovedKey.refuse(values, environment: environment)
        try refuseUnknown(values, keys)
        var configuration = AgentConfiguration()
        for key in keys {
            if let (value, source) = values[key.name] {
                try key.apply(value, from: source, to: &configuration)
            } else if let value = key.defaultValue {
                try key.apply(value, from: "default", to: &configuration)
            }
            configuration.settings.append(
                AgentConfiguration.Setting(
                    key: key.name, value: values[key.name]?.value ?? key.defaultValue,
                    source: values[key.name]?.source ?? "default"))
        }
        // Once every value is known: which keys have to be set depends on the clouds that are served.
        configuration.missing = keys.filter { values[$0.name] == nil && $0.isRequired(in: configuration) }.map(\.name)
        guard !isComplete || configuration.missing.isEmpty else {
            throw notSet(keys.filter { configuration.missing.contains($0.name) })
        }
        return configuration
    }

    private static func notSet(_ keys: [ConfigurationKey]) -> ConfigurationError {
        if keys.count == 1, let key = keys.first {
            return ConfigurationError(
                "\(key.name) is not set: set it in the configuration file, as \(key.environmentName) or by --set \(key.name)=..., "
                    + "to \(key.allowed)"
            )
        }
        let list = keys.map { "\($0.name) (\($0.environmentName)): \($0.allowed)" }
        return ConfigurationError(
            "\(keys.count) keys are not set; set each in the configuration file, as its variable or by --set KEY=VALUE: "
                + list.joined(separator: "; "))
    }

    /// The values as they are given, unchecked: enough for commands that need a path or two, wherever the rest
    /// of the configuration is.
    package static func values(
        file: (path: String, text: String)?, environment: [String: String], overrides: [String],
        keys: [ConfigurationKey]
    ) throws -> [String: (value: String, source: String)] {
        var values: [String: (value: String, source: String)] = [:]
        if let file {
            for (key, value) in try entries(of: file.text, path: file.path, keys) {
                values[key] = (value, file.path)
            }
        }
        for key in keys {
            if let value = environment[key.environmentName] {
                values[key.name] = (value, key.environmentName)
            }
        }
        for override in overrides {
            let parts = override.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard parts.count == 2, !parts[0].isEmpty else {
                throw ConfigurationError("--set takes key=value, as in --set listen.port=988; '\(override)' is not")
            }
            values[String(parts[0])] = (String(parts[1]), "--set")
        }
        return values
    }

    private static func refuseUnknown(
        _ values: [String: (value: String, source: String)], _ keys: [ConfigurationKey]
    ) throws {
        let known = Set(keys.map(\.name))
        for (name, origin) in values.sorted(by: { $0.key < $1.key }) where !known.contains(name) {
            let section = name.split(separator: ".").first.map(String.init) ?? name
            let near = keys.map(\.name).filter { $0.hasPrefix(section + ".") }
            let hint =
                near.isEmpty ? "'podidentd config' lists the keys" : "known here: \(near.joined(separator: ", "))"
            throw ConfigurationError("\(name) (\(origin.source)) is not a configuration key; \(hint)")
        }
    }

    /// Flattens the file's mappings into dotted keys. Lists of scalars become comma-separated values.
    private static func entries(
        of text: String, path: String, _ keys: [ConfigurationKey]
    ) throws -> [(String, String)] {
        guard text.utf8.count <= fileBytesMax else {
            throw ConfigurationError("\(path) is larger than \(fileBytesMax) bytes: not a configuration file")
        }
        let root: YAMLNode?
        do throws(YAMLError) {
            root = try YAML.read(text)
        } catch {
            throw ConfigurationError("\(path) is not YAML that the agent reads: \(error)")
        }
        guard let root, root.scalar?.isNull != true else { return [] }
        guard case .mapping(let mapping) = root else {
            throw ConfigurationError("\(path) must be a mapping of configuration keys")
        }
        return try flatten(mapping, prefix: "", path: path, keys)
    }

    private static func flatten(
        _ mapping: YAMLNode.Mapping, prefix: String, path: String, _ keys: [ConfigurationKey]
    ) throws -> [(String, String)] {
        var entries: [(String, String)] = []
        for entry in mapping.entries {
            let dotted = prefix + entry.key
            switch entry.value {
            case .scalar(let scalar) where scalar.string.isEmpty && isSection(dotted, keys):
                // A section whose keys are all commented out.
                continue
            case .scalar(let scalar):
                entries.append((dotted, scalar.string))
            case .mapping(let inner):
                entries += try flatten(inner, prefix: dotted + ".", path: path, keys)
            case .sequence where dotted == ConfigurationKey.policies.name:
                entries.append((dotted, entry.value.json))
            case .sequence(let items):
                let scalars = items.compactMap(\.scalar?.string)
                guard scalars.count == items.count else {
                    throw ConfigurationError("\(dotted) (\(path)) must be a list of plain values")
                }
                entries.append((dotted, scalars.joined(separator: ",")))
            }
        }
        return entries
    }

    private static func isSection(_ name: String, _ keys: [ConfigurationKey]) -> Bool {
        keys.contains { $0.name.hasPrefix(name + ".") }
    }
}
