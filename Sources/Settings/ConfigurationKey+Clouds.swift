import Tokens

extension ConfigurationKey {
    static let google = "google"

    static func servedClouds(among known: [CloudName]) -> ConfigurationKey {
        decoded(
            "clouds", \.servedCloudNames, default: google,
            allowed: cloudsAllowed(known),
            decode: { text throws(ConfigurationError) in try cloudNames(text, among: known) },
            """
            The clouds whose metadata protocols are served. Which of them a pod may use its ServiceAccount's annotations say, \
            never its requests. Each cloud needs the audience of its own in RBAC, and its addresses are redirected too.
            """
        )
    }

    private static func cloudNames(
        _ text: String, among known: [CloudName]
    ) throws(ConfigurationError) -> [CloudName] {
        let names = text.split(separator: ",").map { String($0.filter { $0 != " " }) }
        let others = names.dropFirst().map { CloudName($0) }
        guard names.first == google, Set(others).count == others.count, others.allSatisfy(known.contains) else {
            throw ConfigurationError("'\(text)' is not \(cloudsAllowed(known))")
        }
        return others
    }

    private static func cloudsAllowed(_ known: [CloudName]) -> String {
        "a list that begins with google and goes on with names among "
            + known.map(\.rawValue).joined(separator: ", ")
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
