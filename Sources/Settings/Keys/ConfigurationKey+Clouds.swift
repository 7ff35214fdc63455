import Tokens

extension ConfigurationKey {
    static let google = "google"

    static func servedClouds(among known: [CloudName]) -> ConfigurationKey {
        let allowed = "a list of names among " + ([google] + known.map(\.rawValue)).joined(separator: ", ")
        return ConfigurationKey(
            name: "clouds",
            summary: """
                The clouds whose metadata protocols are served. Which of them a pod may use its ServiceAccount's annotations \
                say, never its requests. Each cloud needs the audience of its own in RBAC, and its addresses are redirected \
                too. Without google, none of the keys of Google has to be set.
                """,
            allowed: allowed, defaultValue: google, isOptional: false,
            store: { text, configuration in
                let names = parts(text).map { CloudName($0) }
                let others = names.filter { $0.rawValue != google }
                guard !names.isEmpty, Set(names).count == names.count, others.allSatisfy(known.contains) else {
                    return false
                }
                configuration.servesGoogle = others.count < names.count
                configuration.servedCloudNames = others
                return true
            },
            copy: {
                $1.servesGoogle = $0.servesGoogle
                $1.servedCloudNames = $0.servedCloudNames
            })
    }

    /// A key of a cloud, kept as it is written.
    package static func cloud(
        _ name: String, default defaultValue: String, allowed: String,
        isAllowed: @escaping @Sendable (String) -> Bool, _ summary: String
    ) -> ConfigurationKey {
        ConfigurationKey(
            name: name, summary: summary, allowed: allowed, defaultValue: defaultValue, isOptional: false,
            store: { text, configuration in
                guard isAllowed(text) else { return false }
                configuration.cloudSettings[name] = text
                return true
            }, copy: { $1.cloudSettings[name] = $0.cloudSettings[name] })
    }

    /// The same for a key that may be left out.
    package static func optionalCloud(
        _ name: String, allowed: String, isAllowed: @escaping @Sendable (String) -> Bool, _ summary: String
    ) -> ConfigurationKey {
        ConfigurationKey(
            name: name, summary: summary, allowed: allowed, defaultValue: nil, isOptional: true,
            store: { text, configuration in
                guard text.isEmpty || isAllowed(text) else { return false }
                configuration.cloudSettings[name] = text.isEmpty ? nil : text
                return true
            }, copy: { $1.cloudSettings[name] = $0.cloudSettings[name] })
    }
}
