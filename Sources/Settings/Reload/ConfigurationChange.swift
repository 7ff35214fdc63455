/// The changes by a configuration that was read again.
package struct ConfigurationChange: Sendable, Equatable {
    /// The changed keys that a running agent takes over, in the order of the documentation.
    package var applied: [String] = []
    /// The changed keys that it cannot take over.
    package var needingRestart: [String] = []
    /// The configuration in force from now on.
    package var result: AgentConfiguration

    package init(from old: AgentConfiguration, to new: AgentConfiguration, keys all: [ConfigurationKey]) {
        result = old
        for key in all { key.reload(from: new, into: &result) }
        let wanted = Dictionary(new.settings.map { ($0.key, $0) }, uniquingKeysWith: { first, _ in first })
        let keys = Dictionary(all.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
        for (index, setting) in old.settings.enumerated() {
            guard let new = wanted[setting.key] else { continue }
            let isReloadable = keys[setting.key]?.isReloadable ?? false
            if isReloadable { result.settings[index] = new }
            guard new.value != setting.value else { continue }
            if isReloadable { applied.append(setting.key) } else { needingRestart.append(setting.key) }
        }
    }
}
