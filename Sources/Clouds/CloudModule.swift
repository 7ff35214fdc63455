import FoundationEssentials
import Logging
package import MetadataProtocol
import Operations
package import Settings
package import Tokens

/// The clouds that can be served besides Google. This list and new files are all that a further one takes.
package enum CloudModules {
    static let all: [any CloudModule.Type] = [AWSModule.self, AzureModule.self]

    /// Puts the configured ones together.
    package static func make(_ configuration: AgentConfiguration, _ parts: CloudParts) throws -> [any CloudModule] {
        guard configuration.cloudAudiences.count == configuration.servedClouds.count else {
            throw ConfigurationError(
                "two clouds have the same audience: a token for one must be worth nothing to another")
        }
        return try configuration.servedClouds.map { try $0.init(configuration, parts) }
    }
}

/// One cloud besides Google: its keys, its token service and its protocols.
package protocol CloudModule: Sendable {
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
package struct CloudParts: Sendable {
    var place: NodePlace
    var sessionTokens: SessionTokens

    package init(place: NodePlace, sessionTokens: SessionTokens) {
        self.place = place
        self.sessionTokens = sessionTokens
    }
}
