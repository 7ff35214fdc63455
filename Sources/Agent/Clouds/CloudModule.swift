import FoundationEssentials
import Logging
import MetadataServer
import Operations
import Tokens

/// The clouds that can be served besides Google. This list and new files are all that a further one takes.
enum CloudModules {
    static let all: [any CloudModule.Type] = [AWSModule.self, AzureModule.self]

    /// Puts the configured ones together.
    static func make(_ configuration: AgentConfiguration, _ parts: CloudParts) throws -> [any CloudModule] {
        guard configuration.cloudAudiences.count == configuration.servedClouds.count else {
            throw ConfigurationError(
                "two clouds have the same audience: a token for one must be worth nothing to another")
        }
        return try configuration.servedClouds.map { try $0.init(configuration, parts) }
    }
}

/// One cloud besides Google: its keys, its token service and its protocols.
protocol CloudModule: Sendable {
    static var name: CloudName { get }
    /// All begin with the cloud's name.
    static var keys: [ConfigurationKey] { get }
    /// The annotations of ServiceAccounts that it reads.
    static var annotations: [String] { get }
    /// The addresses of its metadata servers that are redirected besides `redirect.endpoints`.
    static func endpoints(_ configuration: AgentConfiguration) -> [AgentConfiguration.Address]
    /// The audience of the tokens that the node requests for it.
    static func audience(_ configuration: AgentConfiguration) -> String

    /// Connects to nothing.
    init(_ configuration: AgentConfiguration, _ parts: CloudParts) throws

    var exchanger: any CloudCredentialExchanging { get }
    var rooms: [any CloudRoom] { get }
    /// The credential that `explain` tries to mint; `nil` where the ServiceAccount names no identity.
    func trialCredential(of account: ServiceAccountRecord) throws(RequestRefusal) -> CloudCredential?
    /// Says what an operator changes so that `failure` does not recur.
    func remedy(_ failure: UpstreamFailure, _ credential: CloudCredential, _ account: ServiceAccountReference) -> String
    /// Whether its token service can be reached.
    func reach() async -> (host: String, failure: UpstreamFailure?)
    func shutdown() async
}

/// Parts of the agent that every cloud's module needs.
struct CloudParts: Sendable {
    var place: NodePlace
    var sessionTokens: SessionTokens
}

extension AgentConfiguration {
    /// Adds addresses that are redirected, each once.
    mutating func redirect(_ endpoints: [Address]) {
        for endpoint in endpoints where !redirectEndpoints.contains(where: { $0.value == endpoint.value }) {
            redirectEndpoints.append(endpoint)
        }
    }

    /// The audiences of the clouds that are served besides Google.
    var cloudAudiences: Set<String> { Set(servedClouds.map { $0.audience(self) }) }
}

extension ConfigurationKey {
    static let google = "google"

    static let clouds = decoded(
        "clouds", \.servedCloudNames, default: google,
        allowed: cloudsAllowed,
        decode: { text throws(ConfigurationError) in try cloudNames(text) },
        """
        The clouds whose metadata protocols are served. Which of them a pod may use its ServiceAccount's annotations say, \
        never its requests. Each cloud needs the audience of its own in RBAC, and its addresses are redirected too.
        """
    )

    private static func cloudNames(_ text: String) throws(ConfigurationError) -> [CloudName] {
        let names = text.split(separator: ",").map { String($0.filter { $0 != " " }) }
        let others = names.dropFirst().map { CloudName($0) }
        let known = Set(CloudModules.all.map { $0.name })
        guard names.first == google, Set(others).count == others.count, known.isSuperset(of: others) else {
            throw ConfigurationError("'\(text)' is not \(cloudsAllowed)")
        }
        return others
    }

    private static var cloudsAllowed: String {
        "a list that begins with google and goes on with names among "
            + CloudModules.all.map { $0.name.rawValue }.joined(separator: ", ")
    }

    /// A key of a cloud, kept as it is written.
    static func cloud(
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
    static func optionalCloud(
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
