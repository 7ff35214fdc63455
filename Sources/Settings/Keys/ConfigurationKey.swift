/// One thing that can be configured: its name, meaning, allowed values, default, and where it goes.
package struct ConfigurationKey: Sendable {
    /// Sections and name, `listen.port`. In YAML a section is a mapping; the environment's spelling is
    /// ``environmentName``.
    package let name: String
    package let summary: String
    /// The allowed values, completing the sentence "… is not …".
    package let allowed: String
    /// `nil`: required, unless `isOptional`.
    package let defaultValue: String?
    package let isOptional: Bool
    /// Stores a value, or returns `false` if it is not allowed.
    let store: @Sendable (String, inout AgentConfiguration) throws(ConfigurationError) -> Bool
    /// Takes the key's value over from the first configuration to the second.
    let copy: @Sendable (AgentConfiguration, inout AgentConfiguration) -> Void
    /// Whether a running agent takes over a change when it receives SIGHUP. What the other keys configure is fixed when
    /// the agent starts: sockets, hooks, clients.
    private(set) package var isReloadable = false
    /// Whether a key without a default may be left out where Google's protocol is not served.
    private(set) package var isGoogles = false

    /// `PODIDENTD_LISTEN_PORT` for `listen.port`.
    package var environmentName: String { Self.environmentName(of: name) }

    static func environmentName(of name: String) -> String {
        "PODIDENTD_"
            + String(name.map { $0 == "." || $0 == "-" ? "_" : Character(String($0).uppercased()) })
    }

    /// The same key, whose changes a running agent takes over.
    func reloadable() -> ConfigurationKey {
        var key = self
        key.isReloadable = true
        return key
    }

    /// The same key, which has to be set only where Google's protocol is served.
    func forGoogle() -> ConfigurationKey {
        var key = self
        key.isGoogles = true
        return key
    }

    /// Whether `configuration` lacks something without the key.
    package func isRequired(in configuration: AgentConfiguration) -> Bool {
        defaultValue == nil && !isOptional && (configuration.servesGoogle || !isGoogles)
    }

    /// Takes the key's value over from `new` to `current`, if a running agent can.
    func reload(from new: AgentConfiguration, into current: inout AgentConfiguration) {
        if isReloadable { copy(new, &current) }
    }

    package func apply(_ value: String, from source: String, to configuration: inout AgentConfiguration) throws {
        let isAllowed: Bool
        do throws(ConfigurationError) {
            isAllowed = try store(value, &configuration)
        } catch {
            throw ConfigurationError("\(name) (\(source)): \(error)")
        }
        guard isAllowed else { throw ConfigurationError("\(name) (\(source)): '\(value)' is not \(allowed)") }
    }
}

extension ConfigurationKey {
    typealias Field<Value> = WritableKeyPath<AgentConfiguration, Value> & Sendable

    /// A key whose values `parse` understands.
    static func key<Value>(
        _ name: String, _ field: any Field<Value>, default defaultValue: String? = nil, allowed: String,
        parse: @escaping @Sendable (String) -> Value?, _ summary: String
    ) -> ConfigurationKey {
        ConfigurationKey(
            name: name, summary: summary, allowed: allowed, defaultValue: defaultValue, isOptional: false,
            store: { text, configuration in
                guard let value = parse(text) else { return false }
                configuration[keyPath: field] = value
                return true
            },
            copy: { $1[keyPath: field] = $0[keyPath: field] }
        )
    }

    /// A key whose values have a structure: `decode` says itself what is wrong with one.
    static func decoded<Value>(
        _ name: String, _ field: any Field<Value>, default defaultValue: String, allowed: String,
        decode: @escaping @Sendable (String) throws(ConfigurationError) -> Value, _ summary: String
    ) -> ConfigurationKey {
        ConfigurationKey(
            name: name, summary: summary, allowed: allowed, defaultValue: defaultValue, isOptional: false,
            store: { text, configuration throws(ConfigurationError) in
                configuration[keyPath: field] = try decode(text)
                return true
            },
            copy: { $1[keyPath: field] = $0[keyPath: field] }
        )
    }

    /// A key that may be left out, or set to the empty string, which is the same.
    static func optional<Value>(
        _ name: String, _ field: any Field<Value?>, allowed: String,
        parse: @escaping @Sendable (String) throws(ConfigurationError) -> Value?, _ summary: String
    ) -> ConfigurationKey {
        ConfigurationKey(
            name: name, summary: summary, allowed: allowed, defaultValue: nil, isOptional: true,
            store: { text, configuration throws(ConfigurationError) in
                guard !text.isEmpty else {
                    configuration[keyPath: field] = nil
                    return true
                }
                guard let value = try parse(text) else { return false }
                configuration[keyPath: field] = value
                return true
            },
            copy: { $1[keyPath: field] = $0[keyPath: field] }
        )
    }
}
