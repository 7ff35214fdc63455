import Attribution
import NIOCore
import NIOHTTP1
import Synchronization
package import TokenExchange
package import Tokens
import UpstreamHTTP

/// AWS Security Token Service: a pod's ServiceAccount token becomes temporary credentials of the IAM role that the
/// ServiceAccount names.
package final class AWSTokenService: CloudCredentialExchanging {
    package struct Configuration: Sendable {
        /// Audience of the subject tokens: a client ID of the IAM OIDC provider.
        package var audience: String
        /// `DurationSeconds`. Roles allow an hour without being told to allow more.
        package var seconds: Int
        /// The URL to ask instead of the region's own endpoint.
        package var url: String?
        /// The region whose endpoint is asked; `nil` while it is not known.
        package var region: @Sendable () -> String?
        /// PEM file of the authorities to trust instead of the system's.
        package var trustRootsPath: String?
        package var callTimeout = Duration.milliseconds(2500)
        package var userAgent: String

        package init(audience: String, seconds: Int, userAgent: String, region: @escaping @Sendable () -> String?) {
            self.audience = audience
            self.seconds = seconds
            self.userAgent = userAgent
            self.region = region
        }
    }

    package let cloud: CloudName
    private let configuration: Configuration
    private let options: UpstreamHTTPClient.Options
    /// The clients by host: as many as there are partitions that a node's ServiceAccounts name roles of, so a handful.
    private let clients = Mutex<[String: UpstreamHTTPClient]>([:])

    /// boto3 counts on 25 minutes and fetches again at each use below 15. A failed refresh is retried for at least two
    /// minutes before anybody gets less than 25.
    package static let lifetimes = TokenServiceConfiguration.TokenPolicy(
        refreshRemaining: .seconds(1650), refreshFraction: 0, refreshSpread: 0.04, guaranteedRemaining: .seconds(1500))

    package var lifetimes: TokenServiceConfiguration.TokenPolicy { Self.lifetimes }
    package var subjectAudience: SubjectAudience { .cloud(configuration.audience) }

    package init(_ cloud: CloudName, _ configuration: Configuration) throws(TokenExchangeError) {
        self.cloud = cloud
        self.configuration = configuration
        self.options = try TokenServiceEndpoint.options(
            callTimeout: configuration.callTimeout, trustRootsPath: configuration.trustRootsPath)
        if let url = configuration.url { _ = try TokenServiceEndpoint.host(of: url, option: "STS URL") }
    }

    package func shutdown() async {
        let clients = self.clients.withLock { clients in
            defer { clients = [:] }
            return clients
        }
        for client in clients.values { await client.shutdown() }
    }

    package func exchange(
        _ subject: SubjectToken, for request: CredentialRequest
    ) async throws(UpstreamFailure) -> UpstreamToken {
        guard let role = (request.identity?.principal).flatMap({ AWSRoleARN($0) }) else {
            throw UpstreamFailure(
                upstream: upstream, kind: .misconfigured, message: "the ServiceAccount names no role's ARN")
        }
        let wire = WebIdentityRole(
            role: role, sessionName: RoleSessionName(request.pod),
            subject: "system:serviceaccount:\(request.pod.namespace):\(request.pod.serviceAccountName)",
            audience: configuration.audience, seconds: configuration.seconds)
        let url = try url(inDomain: role.serviceDomain)
        // No Authorization header: the token authorizes.
        let call = UpstreamCall(
            .POST, url,
            headers: [
                "content-type": "application/x-www-form-urlencoded", "user-agent": configuration.userAgent,
            ],
            body: ByteBuffer(string: wire.form(subject)))
        let answer = try await send(call)
        guard answer.isSuccess else { throw WebIdentityRole.failure(from: answer, cloud: cloud) }
        return try wire.token(from: answer, cloud: cloud)
    }

    /// Whether the service can be reached, by name, TCP and TLS; any answer will do.
    package func reach() async -> (host: String, failure: UpstreamFailure?) {
        do throws(UpstreamFailure) {
            let url = try url(inDomain: "amazonaws.com")
            _ = try await send(UpstreamCall(.GET, url, headers: ["user-agent": configuration.userAgent]))
            return (Self.hostName(of: url), nil)
        } catch {
            return (configuration.url.map(Self.hostName) ?? "sts", error)
        }
    }

    private func url(inDomain domain: String) throws(UpstreamFailure) -> String {
        if let url = configuration.url { return url }
        guard let region = configuration.region(), region.isDNSLabel else {
            throw UpstreamFailure(
                upstream: upstream, kind: .misconfigured,
                message: "the region is not known: set aws.region, or the Node's label topology.kubernetes.io/region")
        }
        return "https://sts.\(region).\(domain)/"
    }

    /// `url` is a valid one.
    private static func hostName(of url: String) -> String {
        let rest = url.dropFirst("https://".count)
        let authority = rest.prefix { $0 != "/" }
        return String(authority.hasPrefix("[") ? authority : authority.prefix { $0 != ":" })
    }

    private func send(_ call: UpstreamCall) async throws(UpstreamFailure) -> UpstreamResponse {
        let host = Self.hostName(of: call.url)
        let client = clients.withLock { clients in
            if let client = clients[host] { return client }
            var options = self.options
            options.serverName = UpstreamHTTPClient.Options.dnsName(host)
            let client = UpstreamHTTPClient(options)
            clients[host] = client
            return client
        }
        do throws(TransportError) {
            return try await client.answer(to: call)
        } catch {
            throw error.failure(of: upstream, at: host)
        }
    }
}
