import Crypto
package import FoundationEssentials
package import SpiffeIdentity

/// A pod as the API server's TokenReview vouches for it.
package struct ReviewedPod: Sendable, Hashable {
    package var namespace: String
    package var serviceAccount: String
    package var serviceAccountUID: String
    package var name: String
    package var uid: String
    package var node: String?
    package var nodeUID: String?
    /// The `jti` of the token, by which the API server's audit log names it.
    package var credentialID: String?
    /// The ID of the container that asked, in the node's words: good for a claim once the API server has it as well.
    package var container: String?

    package init(
        namespace: String, serviceAccount: String, serviceAccountUID: String, name: String, uid: String,
        node: String? = nil, nodeUID: String? = nil, credentialID: String? = nil
    ) {
        self.namespace = namespace
        self.serviceAccount = serviceAccount
        self.serviceAccountUID = serviceAccountUID
        self.name = name
        self.uid = uid
        self.node = node
        self.nodeUID = nodeUID
        self.credentialID = credentialID
    }
}

/// The verdict of a TokenReview.
package enum TokenVerdict: Sendable, Hashable {
    case pod(ReviewedPod)
    /// The token is no caller's, or no pod's. The reason quotes nothing of it.
    case refused(String)
    /// The API server did not answer.
    case unavailable(String)
}

/// Asks the API server whose token it is.
package protocol TokenReviewing: Sendable {
    func review(_ token: String, audience: String) async -> TokenVerdict
    /// Reads the attributes that become claims.
    func attributes(_ wanted: ClaimConfiguration, of pod: ReviewedPod) async throws(ExchangeRefusal) -> PodAttributes
}

/// Why the signer does not sign, with the HTTP status that says so.
package struct ExchangeRefusal: Error, Sendable, Hashable {
    package var status: Int
    package var reason: String
    /// The seconds after which the same may be asked again.
    package var retryAfter: Int?
    /// Whether the log has to tell it: a node over its share is told once.
    package var isNews = true
}

/// Turns a proof of who asks into SVIDs of exactly that pod.
package struct Exchange: Sendable {
    package let configuration: SignerConfiguration
    private let reviewer: any TokenReviewing
    /// `nil`: nodes are not bounded.
    let shares: NodeShares?

    package init(_ configuration: SignerConfiguration, reviewer: any TokenReviewing) {
        self.configuration = configuration
        self.reviewer = reviewer
        shares = configuration.shares.map { NodeShares($0) }
    }

    /// A pod that asks, and what was signed for it.
    package struct Outcome: Sendable {
        package var pod: ReviewedPod
        package var answer: ExchangeResponse
        package var serialNumber: String?
        /// Whether the certificate names the metadata server.
        package var isServing = false
        package var tokenID: String?
        /// The attributes that became a claim of the token.
        package var attributes: PodAttributes?
    }

    package func exchange(
        _ request: ExchangeRequest, token: String?, keys: SignerKeys, now: Date = Date()
    ) async throws(ExchangeRefusal) -> Outcome {
        guard let token, !token.isEmpty, token.utf8.count <= JWTSVID.longest else {
            throw ExchangeRefusal(status: 401, reason: "no bearer token")
        }
        try Self.check(request)
        var pod = try await review(token)
        pod.container = request.container
        try checkShare(of: pod)
        guard
            let id = SpiffeID(
                configuration.trustDomain, namespace: pod.namespace, serviceAccount: pod.serviceAccount)
        else { throw ExchangeRefusal(status: 403, reason: "the ServiceAccount's name fits into no SPIFFE ID") }
        var outcome = Outcome(pod: pod, answer: ExchangeResponse(spiffeID: id.description))
        if let csr = request.csr {
            guard let der = request.csrBytes, !csr.isEmpty else {
                throw ExchangeRefusal(status: 400, reason: "csr is not base64")
            }
            let life = TimeInterval(configuration.certificateSeconds)
            if request.serving == true { try checkAgent(pod) }
            do throws(SpiffeError) {
                let issued =
                    request.serving == true
                    ? try keys.authority.signMetadataServer(der, for: life, now: now)
                    : try keys.authority.sign(der, as: id, subject: configuration.subject(of: pod), for: life, now: now)
                outcome.isServing = request.serving == true
                outcome.answer = ExchangeResponse(spiffeID: id.description, chain: issued.chain)
                outcome.serialNumber = issued.serialNumber
            } catch {
                throw ExchangeRefusal(status: 400, reason: error.description)
            }
        }
        if let audience = request.audience {
            let tokenID = UUID().uuidString.lowercased()
            var claims = claims(of: pod, id, audience, tokenID, now)
            if !configuration.claims.isEmpty {
                let attributes = try await reviewer.attributes(configuration.claims, of: pod)
                claims["podidentd.io"] = attributes.claim
                outcome.attributes = attributes
            }
            do throws(SpiffeError) {
                outcome.answer.token = try JWTSVID.sign(
                    claims, with: keys.tokenKey, id: keys.tokenKeyID)
                outcome.tokenID = tokenID
            } catch {
                throw ExchangeRefusal(status: 500, reason: error.description)
            }
        }
        return outcome
    }

    /// A certificate that names the metadata server is for agents alone: every pod believes its holder.
    private func checkAgent(_ pod: ReviewedPod) throws(ExchangeRefusal) {
        guard let agent = configuration.agent, agent == "\(pod.namespace)/\(pod.serviceAccount)" else {
            throw ExchangeRefusal(
                status: 403,
                reason: "certificates of the metadata server are for the agents' ServiceAccount alone (--agent)")
        }
    }

    private func review(_ token: String) async throws(ExchangeRefusal) -> ReviewedPod {
        switch await reviewer.review(token, audience: configuration.audience) {
        case .pod(let pod): return pod
        case .refused(let reason): throw ExchangeRefusal(status: 401, reason: reason)
        case .unavailable(let reason): throw ExchangeRefusal(status: 503, reason: reason)
        }
    }

    /// Refuses a pod or a node that is over its share, by the names that the API server vouches for.
    private func checkShare(of pod: ReviewedPod) throws(ExchangeRefusal) {
        guard case .limited(let wait, let isNews) = shares?.take(pod: pod.uid, node: pod.node, at: .now) else { return }
        throw ExchangeRefusal(
            status: 429,
            reason: "pod \(pod.uid) or its node \(pod.node ?? "") asks for more signatures than its share",
            retryAfter: Int(wait.components.seconds) + 1, isNews: isNews)
    }

    private static func check(_ request: ExchangeRequest) throws(ExchangeRefusal) {
        guard request.csr != nil || request.audience != nil else {
            throw ExchangeRefusal(status: 400, reason: "neither csr nor audience: nothing is asked for")
        }
        guard (request.container?.utf8.count ?? 0) <= ExchangeRequest.longestContainer else {
            throw ExchangeRefusal(status: 400, reason: "container is longer than a container's ID")
        }
        guard let audience = request.audience else { return }
        let limit = ExchangeRequest.audienceLimit
        guard (1...limit.count).contains(audience.count),
            audience.allSatisfy({ !$0.isEmpty && $0.utf8.count <= limit.bytes })
        else {
            throw ExchangeRefusal(
                status: 400, reason: "audience must be 1 to \(limit.count) texts of 1 to \(limit.bytes) bytes")
        }
    }

    /// The claims of a JWT-SVID: those of the profile, and what the API server vouches for, in the form of its own
    /// tokens.
    private func claims(
        of pod: ReviewedPod, _ id: SpiffeID, _ audience: [String], _ tokenID: String, _ now: Date
    ) -> [String: JSONValue] {
        func object(_ name: String, _ uid: String?) -> JSONValue {
            var members: [String: JSONValue] = ["name": .string(name)]
            if let uid { members["uid"] = .string(uid) }
            return .object(members)
        }
        var kubernetes: [String: JSONValue] = [
            "namespace": .string(pod.namespace),
            "pod": object(pod.name, pod.uid),
            "serviceaccount": object(pod.serviceAccount, pod.serviceAccountUID),
        ]
        if let node = pod.node { kubernetes["node"] = object(node, pod.nodeUID) }
        let issued = now.timeIntervalSince1970.rounded(.down)
        var claims: [String: JSONValue] = [
            "sub": .string(id.description),
            "aud": .array(audience.map { .string($0) }),
            "iat": .number(issued),
            "exp": .number(issued + Double(configuration.tokenSeconds)),
            "jti": .string(tokenID),
            "kubernetes.io": .object(kubernetes),
        ]
        if let issuer = configuration.issuer { claims["iss"] = .string(issuer) }
        return claims
    }
}
