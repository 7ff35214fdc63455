import AzureInstanceMetadata
import EntraTokenExchange
import MetadataProtocol
import Settings
import Tokens

/// Azure: access tokens of an application or managed identity, at the address of Azure's instance metadata service.
struct AzureModule: CloudModule {
    static let name = CloudName("azure")
    static let annotations = [AzureMetadataRoom.clientAnnotation, AzureMetadataRoom.tenantAnnotation]

    private let service: EntraTokenService
    let rooms: [any CloudRoom]

    static let keys: [ConfigurationKey] = [
        .cloud(
            "azure.authority", default: "https://login.microsoftonline.com", allowed: "an https URL",
            isAllowed: { ConfigurationKey.url($0) != nil },
            "Microsoft Entra ID, or a sovereign cloud's: https://login.microsoftonline.us, https://login.partner.microsoftonline.cn."
        ),
        .optionalCloud(
            "azure.ca-file", allowed: "an absolute path", isAllowed: { ConfigurationKey.path($0) != nil },
            "PEM certificates to trust for Entra ID, instead of the system's."),
        .optionalCloud(
            "azure.tenant", allowed: "a tenant's ID or domain",
            isAllowed: { EntraIdentity(clientID: "00000000-0000-0000-0000-000000000000", tenant: $0) != nil },
            "The tenant of identities whose ServiceAccount has no annotation azure.workload.identity/tenant-id."),
        .cloud(
            "azure.audience", default: "api://AzureADTokenExchange", allowed: "an audience",
            isAllowed: { ConfigurationKey.text($0) != nil },
            "Audience of the pod-bound tokens, as the federated credentials have it. RBAC must allow it to the node."),
        .cloud(
            "azure.client-allow", default: "",
            allowed: "a list of NAMESPACE=CLIENT-ID, where * stands for any characters",
            isAllowed: { CloudAllowList($0) != nil },
            """
            Which client IDs, in lower case, the ServiceAccounts of each namespace may name. NAMESPACE may be *. Empty: \
            any; then an identity's federated credentials alone say who may use it.
            """),
    ]

    static func audience(_ configuration: AgentConfiguration) -> String {
        configuration.cloudSettings["azure.audience"] ?? ""
    }

    static func endpoints(_ configuration: AgentConfiguration) -> [AgentConfiguration.Address] { [] }

    init(_ configuration: AgentConfiguration, _ parts: CloudParts) throws {
        let settings = configuration.cloudSettings
        var service = EntraTokenService.Configuration(
            authority: settings["azure.authority"] ?? "", audience: Self.audience(configuration),
            userAgent: "podidentd/\(AgentVersion.current)")
        service.trustRootsPath = settings["azure.ca-file"]
        self.service = try EntraTokenService(Self.name, service)
        rooms = [
            AzureMetadataRoom(
                AzureMetadataRoom.Configuration(
                    cloud: Self.name, tenant: settings["azure.tenant"],
                    allowed: settings["azure.client-allow"].flatMap { CloudAllowList($0) } ?? CloudAllowList()))
        ]
    }

    var exchanger: any CloudCredentialExchanging { service }

    /// The credential for the management of Azure, which every identity may have a token for.
    func trialCredential(of account: ServiceAccountRecord) throws(RequestRefusal) -> CloudCredential? {
        try rooms.first?.identity(of: account)
            .map { CloudCredential(identity: $0, resource: "https://management.azure.com") }
    }

    func remedy(
        _ failure: UpstreamFailure, _ credential: CloudCredential, _ account: ServiceAccountReference
    ) -> String {
        AzureMetadataRoom.remedy(failure, credential, account)
    }

    func reach() async -> (host: String, failure: UpstreamFailure?) { await service.reach() }

    func shutdown() async { await service.shutdown() }
}
