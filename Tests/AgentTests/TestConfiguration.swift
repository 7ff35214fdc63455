import Clouds
import Settings

@testable import Diagnostics

/// Configurations with every required key.
enum TestConfiguration {
    static let provider = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/k"
    private static let required = [
        "PODIDENTD_NODE_NAME": "node-a", "PODIDENTD_GOOGLE_PROVIDER": provider, "PODIDENTD_GOOGLE_PROJECT_ID": "p",
        "PODIDENTD_GOOGLE_PROJECT_NUMBER": "1",
    ]

    static func load(
        _ overrides: [String] = [], yaml: String? = nil, environment: [String: String] = [:]
    ) throws -> AgentConfiguration {
        try ConfigurationLoader.load(
            file: yaml.map { ("agent.yaml", $0) }, environment: required.merging(environment) { $1 },
            overrides: overrides)
    }
}

extension PostureCheck {
    /// A check that asks no agent for what it was not told, and finds no cgroups.
    static func of(_ overrides: String...) async throws -> PostureCheck {
        let nowhere = [
            "cgroup.mount-point=/nowhere", "bpf.pin-directory=/nowhere/pins", "admin.socket=/nowhere/a.sock",
        ]
        let configuration = try TestConfiguration.load(nowhere + overrides)
        return await PostureCheck(configuration, isOnline: false)
    }
}
