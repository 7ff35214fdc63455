import Clouds
import FoundationEssentials
import Operations
import Settings

/// A configuration that need not be complete: on a node, an operator need not know the agent's.
extension PostureCheck {
    /// Sections whose keys say what the agent does on the network.
    private static let borrowedSections = ["listen.", "redirect.", "guard."]

    /// Whether the agent's value of a key counts where the command was given none: how it listens, what it protects, which
    /// clouds it serves and for which audiences it asks.
    private static func isBorrowed(_ name: String) -> Bool {
        borrowedSections.contains(where: name.hasPrefix) || name == "clouds"
            || [".audience", ".region"].contains(where: name.hasSuffix)
    }

    /// Takes the keys that are not set from the agent that runs here, if one does.
    ///
    /// No other key: where a file lies for the agent's container is not where it lies for this command.
    static func complete(_ configuration: AgentConfiguration) async -> (AgentConfiguration, borrowed: [String]) {
        guard !configuration.missing.isEmpty else { return (configuration, []) }
        let path = configuration.adminSocket
        guard
            let answer = try? await within(patience, { try await AdminClient(socketPath: path).get("/debug/config") }),
            let settings = try? JSONDecoder().decode([AgentConfiguration.Setting].self, from: Data(answer))
        else { return (configuration, []) }
        var completed = configuration
        var borrowed: [String] = []
        let given = Set(configuration.settings.filter { $0.source != "default" }.map(\.key))
        for key in ConfigurationKey.all where !given.contains(key.name) {
            guard configuration.missing.contains(key.name) || isBorrowed(key.name),
                let value = settings.first(where: { $0.key == key.name })?.value,
                (try? key.apply(value, from: "the running agent", to: &completed)) != nil
            else { continue }
            if value != key.defaultValue { borrowed.append(key.name) }
        }
        // The required keys depend on the clouds, which may be borrowed too.
        let required = Set(ConfigurationKey.all.filter { $0.isRequired(in: completed) }.map(\.name))
        completed.missing.removeAll { borrowed.contains($0) || !required.contains($0) }
        return (completed, borrowed)
    }

    /// Whether a key is not set, so that what needs it cannot be checked.
    func lacks(_ key: String) -> Bool { configuration.missing.contains(key) }

    /// The item for what needs `key`.
    func notTried(_ id: String, without key: String) -> Posture.Item {
        Posture.Item(id, .unknown, "not tried: \(key) is not set, and no agent runs here that could be asked")
    }

    /// The items about the configuration's own gaps; none, where it says everything.
    func configurationItems() -> [Posture.Item] {
        var items: [Posture.Item] = []
        if !borrowed.isEmpty {
            items.append(
                Posture.Item(
                    "configuration.agent", .ok, "taken from the running agent: \(borrowed.joined(separator: ", "))"))
        }
        if !configuration.missing.isEmpty {
            items.append(
                Posture.Item(
                    "configuration.missing", .unknown, "not set: \(configuration.missing.joined(separator: ", "))",
                    meaning:
                        "What needs these keys is not checked. Give the agent's configuration with --config, or each "
                        + "key with --set KEY=VALUE or as its variable (PODIDENTD_...)."))
        }
        return items
    }
}
