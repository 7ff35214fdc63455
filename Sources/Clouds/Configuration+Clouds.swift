package import Settings

extension AgentConfiguration {
    /// The clouds besides Google whose protocols are served.
    package var servedClouds: [any CloudModule.Type] {
        CloudModules.all.filter { servedCloudNames.contains($0.name) }
    }

    /// Adds addresses that are redirected, each once.
    mutating func redirect(_ endpoints: [Address]) {
        for endpoint in endpoints where !redirectEndpoints.contains(where: { $0.value == endpoint.value }) {
            redirectEndpoints.append(endpoint)
        }
    }

    /// The audiences of the clouds that are served besides Google.
    package var cloudAudiences: Set<String> { Set(servedClouds.map { $0.audience(self) }) }
}

extension ConfigurationKey {
    /// Every key, in the order of the documentation.
    package static let all: [ConfigurationKey] = all(
        clouds: CloudModules.all.map { $0.name }, CloudModules.all.flatMap { $0.keys })
}

extension ConfigurationLoader {
    /// Loads with every key, and redirects the addresses of the clouds that are served.
    package static func load(
        file: (path: String, text: String)?, environment: [String: String], overrides: [String],
        isComplete: Bool = true
    ) throws -> AgentConfiguration {
        var configuration = try load(
            file: file, environment: environment, overrides: overrides, keys: ConfigurationKey.all,
            isComplete: isComplete)
        for cloud in configuration.servedClouds { configuration.redirect(cloud.endpoints(configuration)) }
        return configuration
    }
}
