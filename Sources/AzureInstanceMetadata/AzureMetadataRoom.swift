package import Attribution
package import MetadataProtocol
package import NIOHTTP1
package import Tokens

/// Azure's instance metadata service, as far as it hands out tokens of a managed identity.
///
/// Every answer is JSON, for some clients fail on anything else, and none is 404, for others then try again for a minute.
package struct AzureMetadataRoom: CloudRoom {
    package struct Configuration: Sendable {
        package var cloud: CloudName
        /// The tenant of identities whose ServiceAccount names none.
        package var tenant: String?
        package var allowed: CloudAllowList

        package init(cloud: CloudName, tenant: String? = nil, allowed: CloudAllowList = CloudAllowList()) {
            self.cloud = cloud
            self.tenant = tenant
            self.allowed = allowed
        }
    }

    /// The annotations of Azure Workload Identity.
    package static let clientAnnotation = "azure.workload.identity/client-id"
    package static let tenantAnnotation = "azure.workload.identity/tenant-id"

    private let configuration: Configuration
    private let hostNames = HostNames(only: ["169.254.169.254"])

    private static let tokenPath = "/metadata/identity/oauth2/token"
    /// The most bytes of a resource: more than any application ID URI has.
    private static let longestResource = 1024
    /// Clients wait for 8 s and more, and some never ask again.
    static let waitBudget = Duration.milliseconds(2_900)
    private static let refreshBudget = Duration.seconds(1)

    package init(_ configuration: Configuration) {
        self.configuration = configuration
    }

    var cloud: CloudName { configuration.cloud }
    package var root: Response? { nil }

    // MARK: Requests

    /// Azure's paths have no case.
    package func owns(_ path: String) -> Bool {
        let lower = path.lowercased()
        return lower == "/metadata" || lower.hasPrefix("/metadata/")
    }

    package func validate(_ head: HTTPRequestHead, _ target: RequestTarget) throws(RequestRefusal) -> CloudRequest {
        try target.check(head, isFor: hostNames)
        guard target.path.lowercased() == Self.tokenPath else {
            throw Self.refusal(.forbidden, .notFound, "Only \(Self.tokenPath) is served here.")
        }
        guard try head.onlyField("Metadata")?.lowercased() == "true" else {
            // SDKs ask without the header to find out whether there is a server at all.
            throw Self.refusal(.badRequest, .missingFlavor, "Required metadata header not specified")
        }
        guard head.method == .GET else { throw Self.refusal(.methodNotAllowed, .methodNotAllowed, "Use GET.") }
        let fields = try Self.fields(of: target.query)
        guard let resource = fields["resource"], !resource.isEmpty else {
            throw Self.refusal(.badRequest, .badQuery, "Required parameter resource not specified")
        }
        guard resource.utf8.count <= Self.longestResource, resource.utf8.allSatisfy({ (0x21...0x7e).contains($0) })
        else { throw Self.refusal(.badRequest, .badQuery, "The parameter resource is no application ID URI") }
        for name in ["object_id", "mi_res_id", "msi_res_id"] where fields[name] != nil {
            throw Self.refusal(
                .badRequest, .cloudIdentityUnknown, "Identity not found: only client_id can name one, not \(name)")
        }
        var request = CloudRequest(
            .cloudCredential, waitBudget: Self.waitBudget, refreshBudget: Self.refreshBudget)
        request.name = resource
        request.identity = fields["client_id"]?.lowercased()
        return request
    }

    /// The query's fields, each at most once: which of two counts is what a smuggled parameter plays with.
    private static func fields(of query: String?) throws(RequestRefusal) -> [String: String] {
        var fields: [String: String] = [:]
        for (name, value) in try QueryParameters.fields(of: query ?? "") {
            guard fields[name] == nil else { throw refusal(.badRequest, .badQuery, "A parameter is given twice") }
            fields[name] = value
        }
        return fields
    }

    private static func refusal(_ status: Response.Status, _ cause: RefusalCause, _ text: String) -> RequestRefusal {
        .room(RoomRefusal(status, cause, text))
    }

    package func refusal(of request: CloudRequest, from pod: PodUID) -> Response? { nil }

    // MARK: Identity

    package func identity(of account: ServiceAccountRecord) throws(RequestRefusal) -> CloudIdentity? {
        guard let client = account.annotations[Self.clientAnnotation] else { return nil }
        let tenant = account.annotations[Self.tenantAnnotation]
        guard let identity = EntraIdentity(clientID: client, tenant: tenant ?? configuration.tenant ?? "") else {
            throw Self.refusal(
                .badRequest, .cloudIdentityInvalid,
                "Identity not found: the annotations \(Self.clientAnnotation) and \(Self.tenantAnnotation) of your "
                    + "Kubernetes service account (\(account.reference)) must be two GUIDs.")
        }
        guard configuration.allowed.allows(identity.clientID, in: account.namespace) else {
            throw Self.refusal(
                .badRequest, .cloudIdentityNotAllowed,
                "Identity not found: service accounts of the namespace \(account.namespace) may not use "
                    + "\(identity.clientID). Ask your cluster administrator to add it to podidentd's azure.client-allow."
            )
        }
        var annotations = [Self.clientAnnotation: client]
        annotations[Self.tenantAnnotation] = tenant
        return CloudIdentity(cloud: cloud, principal: identity.text, annotations: annotations)
    }

    package func content(
        of request: CloudRequest, from pod: PodRecord, account: ServiceAccountRecord
    ) throws(RequestRefusal) -> CloudContent {
        guard let named = try identity(of: account), let identity = EntraIdentity(named.principal) else {
            throw Self.refusal(
                .badRequest, .cloudIdentityMissing,
                "Identity not found: your Kubernetes service account (\(account.reference)) has no annotation "
                    + "\(Self.clientAnnotation), so it has no identity in Azure.")
        }
        guard request.identity == nil || request.identity == identity.clientID else {
            throw Self.refusal(
                .badRequest, .cloudIdentityUnknown,
                "Identity not found: the identity of your Kubernetes service account (\(account.reference)) is "
                    + "\(identity.clientID).")
        }
        return .credential(CloudCredential(identity: named, resource: request.name))
    }
}
