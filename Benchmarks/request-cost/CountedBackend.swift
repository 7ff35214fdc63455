import Attribution
import MetadataProtocol
import Tokens

/// One pod with one cached token, answered by the agent's own attributor and token service.
///
/// Only upstreams are stand-ins: they answer at once, and so long-lived that nothing is refreshed while requests are
/// counted.
struct CountedBackend: TokenServiceBackend {
    /// The kernel's note for a process in the pod's container.
    static let tag = CallerTag(
        ancestors: [10, 11, 12, 0, 0], leaf: CgroupID(rawValue: 12), networkNamespaceCookie: 1, socketCookie: 1,
        originalDestination: OriginalDestination(address: .ipv4(0xa9fe_a9fe), port: 80))

    let attributor: Attributor
    let tokens: TokenService

    init() throws {
        let uid = "2d1cf1b0-4a52-4d6f-9c41-0e2f3c4b5a69"
        let container = String(repeating: "c0ffee42", count: 8)
        let root = try KubepodsRoot("/kubepods")
        let index = CgroupIndex(root: root, resolver: NoCgroups())
        index.observe(CgroupID(rawValue: 11), path: Array("/kubepods/burstable/pod\(uid)".utf8))
        index.observe(CgroupID(rawValue: 12), path: Array("/kubepods/burstable/pod\(uid)/\(container)".utf8))
        let directory = PodDirectory()
        guard let uid = PodUID(uid) else { throw CostError("the pod's UID is not one") }
        directory.apply(
            .replaced([PodRecord(uid: uid, namespace: "team-a", name: "web-0", serviceAccountName: "web")]))
        attributor = Attributor(index: index, directory: directory)
        let upstreams = Upstreams()
        var configuration = TokenServiceConfiguration()
        configuration.serviceAccounts.refreshAge = .seconds(3600)
        configuration.serviceAccounts.awaitAge = .seconds(3600)
        tokens = TokenService(
            configuration: configuration, issuer: upstreams, accounts: upstreams, exchanger: upstreams)
    }

    func identify(_ tag: CallerTag) -> Identification { attributor.identify(tag) }

    func identifyHolding(_ tag: CallerTag) async -> Identification { attributor.identify(tag) }
}

/// Every cgroup that is asked for is in the index.
private struct NoCgroups: CgroupPathResolving {
    func path(of id: CgroupID) -> [UInt8]? { nil }
}

/// Upstreams that say yes. The token is as long as Google's.
private struct Upstreams: SubjectTokenIssuing, ServiceAccountReading, TokenExchanging {
    private static let token = UpstreamToken(
        token: SecretToken("ya29." + String(repeating: "x", count: 1019)), lifetime: .seconds(86_400))

    func issueSubjectToken(
        for pod: PodRecord, serviceAccountUID: String, audience: SubjectAudience
    ) async throws(UpstreamFailure) -> SubjectToken {
        SubjectToken(token: SecretToken("header.payload.signature"), lifetime: .seconds(86_400))
    }

    func serviceAccount(_ reference: ServiceAccountReference) async throws(UpstreamFailure) -> ServiceAccountRecord {
        ServiceAccountRecord(
            namespace: reference.namespace, name: reference.name, uid: "0b0a3f1e-6d3c-4f6e-8a3e-3f6f0a5b7c11",
            googleServiceAccount: "web@project.iam.gserviceaccount.com")
    }

    func exchange(_ subject: SubjectToken, scopes: ScopeSet) async throws(UpstreamFailure) -> UpstreamToken {
        Self.token
    }

    func accessToken(
        as account: String, scopes: ScopeSet, quotaProject: String?, federated: UpstreamToken
    ) async throws(UpstreamFailure) -> UpstreamToken {
        Self.token
    }

    func identityToken(
        as account: String, audience: String, quotaProject: String?, federated: UpstreamToken
    ) async throws(UpstreamFailure) -> UpstreamToken {
        Self.token
    }
}
