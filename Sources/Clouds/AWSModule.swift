import AWSInstanceMetadata
import AWSSecurityTokenService
import Attribution
import MetadataProtocol
import Settings
import Tokens

/// AWS: temporary credentials of an IAM role, at the addresses of EC2's instance metadata service.
struct AWSModule: CloudModule {
    static let name = CloudName("aws")
    static let annotations = [AWSMetadataRoom.annotation]

    private let service: AWSTokenService
    let rooms: [any CloudRoom]

    private static let minimumSeconds = 3600

    static let keys: [ConfigurationKey] = [
        .optionalCloud(
            "aws.region", allowed: "a region's name, such as eu-west-1", isAllowed: { $0.isDNSLabel },
            """
            The region whose STS is asked, and which placement/region names. Default: the Node's label \
            topology.kubernetes.io/region.
            """),
        .optionalCloud(
            "aws.sts-url", allowed: "an https URL", isAllowed: { ConfigurationKey.url($0) != nil },
            """
            AWS STS. Default: https://sts.REGION.DOMAIN/, where the role's ARN says which domain it is \
            (amazonaws.com, amazonaws.com.cn, ...).
            """),
        .optionalCloud(
            "aws.ca-file", allowed: "an absolute path", isAllowed: { ConfigurationKey.path($0) != nil },
            "PEM certificates to trust for AWS STS, instead of the system's."),
        .cloud(
            "aws.audience", default: "sts.amazonaws.com", allowed: "an audience",
            isAllowed: { ConfigurationKey.text($0) != nil },
            "Audience of the pod-bound tokens: a client ID of the IAM OIDC provider. RBAC must allow it to the node."),
        .cloud(
            "aws.duration-seconds", default: String(minimumSeconds), allowed: "a number from 3600 to 43200",
            isAllowed: { Int($0).map { (minimumSeconds...43_200).contains($0) } ?? false },
            """
            Life of the credentials. Roles allow more than 3600 only where they say so. Less would have SDKs use \
            credentials beyond their end.
            """),
        .cloud(
            "aws.imds-v1", default: "refuse", allowed: "refuse or allow",
            isAllowed: { ["refuse", "allow"].contains($0) },
            """
            Whether requests without a session token are served, as by version 1 of the service. Any page that a pod can \
            be made to fetch can then read the pod's credentials.
            """),
        .cloud(
            "aws.container-endpoint", default: "false", allowed: "true or false",
            isAllowed: { ["true", "false"].contains($0) },
            """
            Whether /v1/credentials is served at 169.254.170.2, 169.254.170.23 and fd00:ec2::23, for clients that find \
            it by AWS_CONTAINER_CREDENTIALS_FULL_URI or AWS_CONTAINER_CREDENTIALS_RELATIVE_URI. Not on EKS with Pod \
            Identity, whose addresses these are.
            """),
        .cloud(
            "aws.role-allow", default: "", allowed: "a list of NAMESPACE=ARN, where * stands for any characters",
            isAllowed: { CloudAllowList($0) != nil },
            """
            Which roles the ServiceAccounts of each namespace may name. NAMESPACE may be *. Empty: any; then a role's \
            trust policy alone says who may use it.
            """),
    ]

    static func audience(_ configuration: AgentConfiguration) -> String {
        configuration.cloudSettings["aws.audience"] ?? ""
    }

    static func endpoints(_ configuration: AgentConfiguration) -> [AgentConfiguration.Address] {
        let instance = AgentConfiguration.Address(text: "fd00:ec2::254", value: .ipv6(0xfd00_0ec2_0000_0000, 0x254))
        guard servesContainers(configuration) else { return [instance] }
        return [
            instance,
            AgentConfiguration.Address(text: "169.254.170.2", value: .ipv4(0xa9fe_aa02)),
            AgentConfiguration.Address(text: "169.254.170.23", value: .ipv4(0xa9fe_aa17)),
            AgentConfiguration.Address(text: "fd00:ec2::23", value: .ipv6(0xfd00_0ec2_0000_0000, 0x23)),
        ]
    }

    private static func servesContainers(_ configuration: AgentConfiguration) -> Bool {
        configuration.cloudSettings["aws.container-endpoint"] == "true"
    }

    init(_ configuration: AgentConfiguration, _ parts: CloudParts) throws {
        let settings = configuration.cloudSettings
        let place = parts.place
        let configured = settings["aws.region"]
        let region: @Sendable () -> String? = { configured ?? place.region }
        var service = AWSTokenService.Configuration(
            audience: Self.audience(configuration),
            seconds: settings["aws.duration-seconds"].flatMap { Int($0) } ?? Self.minimumSeconds,
            userAgent: "podidentd/\(AgentVersion.current)", region: region)
        service.url = settings["aws.sts-url"]
        service.trustRootsPath = settings["aws.ca-file"]
        self.service = try AWSTokenService(Self.name, service)
        let instance = AWSMetadataRoom(
            AWSMetadataRoom.Configuration(
                cloud: Self.name, servesVersion1: settings["aws.imds-v1"] == "allow",
                allowed: settings["aws.role-allow"].flatMap { CloudAllowList($0) } ?? CloudAllowList(),
                region: region, zone: { place.zone }),
            tokens: parts.sessionTokens)
        rooms =
            Self.servesContainers(configuration) ? [instance, AWSContainerCredentials(roles: instance)] : [instance]
    }

    var exchanger: any CloudCredentialExchanging { service }

    func trialCredential(of account: ServiceAccountRecord) throws(RequestRefusal) -> CloudCredential? {
        try rooms.first?.identity(of: account).map { CloudCredential(identity: $0) }
    }

    func remedy(
        _ failure: UpstreamFailure, _ credential: CloudCredential, _ account: ServiceAccountReference
    ) -> String {
        AWSMetadataRoom.remedy(failure, credential, account)
    }

    func reach() async -> (host: String, failure: UpstreamFailure?) { await service.reach() }

    func shutdown() async { await service.shutdown() }
}
