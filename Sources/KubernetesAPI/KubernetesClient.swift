package import Attribution
package import Logging
import NIOCore
import NIOHTTP1
import Synchronization
package import Tokens
package import UpstreamHTTP

/// Everything that the agent asks of the API server, with the node's credentials: tokens for the pods of this node,
/// the ServiceAccounts of those pods, the pods themselves, and its own Node. No other right is used.
package final class KubernetesClient: Sendable {
    package let server: KubernetesServer
    let options: KubernetesClientOptions
    let credentials: any NodeCredentialSource
    /// A client of its own, because a watch is measured by its silence and a call by its length.
    let watchClient: any UpstreamTransport
    let callClient: any UpstreamTransport
    private let clock: any TokenClock
    private let logger: Logger
    /// Whether the log says already that this node may not read ServiceAccounts.
    private let hasLoggedForbiddenReads = Mutex(false)
    private let missingRelationships = Mutex<UInt64>(0)
    /// How many pods the next list asks for at once.
    let pageSize = Mutex(PodPageSize())

    /// Calls that met an API server which did not know this node's pods yet, and were made again.
    package var relationshipRetries: UInt64 { missingRelationships.withLock { $0 } }
    /// How often the node's credentials were renewed under the agent.
    package var credentialReloads: UInt64 { credentials.latest.generation - 1 }

    /// `network` and `clock` stand for the node's own where both are simulated.
    package init(
        options: KubernetesClientOptions, credentials: any NodeCredentialSource,
        network: (any UpstreamTransport)? = nil, clock: any TokenClock = SystemTokenClock(), logger: Logger
    ) {
        self.options = options
        self.credentials = credentials
        self.clock = clock
        self.logger = logger
        self.server = credentials.server
        if let network {
            (self.callClient, self.watchClient) = (network, network)
            return
        }
        var http = UpstreamHTTPClient.Options()
        http.callTimeout = options.callTimeout
        http.serverName = UpstreamHTTPClient.Options.dnsName(server.tlsServerName ?? server.host)
        http.connectHost = server.tlsServerName == nil ? nil : server.host
        self.callClient = UpstreamHTTPClient(http)
        http.callTimeout = options.listTimeout
        http.silenceTimeout = options.watchSilence
        // An agent's watch, and one more while a new one replaces it, or a signer's two; and a watch for each certificate
        // that is waited for, which must not take the connections of calls.
        http.connectionLimit = 2 + PodCertificateGate.openLimit
        self.watchClient = UpstreamHTTPClient(http)
    }

    /// Ends every call in flight. Must be called once, after the last call.
    package func shutdown() async {
        await callClient.shutdown()
        await watchClient.shutdown()
    }

    /// A call as `credentials`: the connection pool and the token are those of one generation.
    func call(
        _ method: HTTPMethod, _ pathAndQuery: String, body: [UInt8]? = nil, as credentials: NodeCredentials.Snapshot
    ) -> UpstreamCall {
        var headers: HTTPHeaders = ["accept": "application/json", "user-agent": options.userAgent]
        if let token = credentials.bearerToken { headers.add(name: "authorization", value: "Bearer \(token.exposed)") }
        if body != nil { headers.add(name: "content-type", value: "application/json") }
        return UpstreamCall(
            method,
            server.baseURL + pathAndQuery,
            headers: headers,
            body: body.map { ByteBuffer(bytes: $0) },
            tlsConfiguration: credentials.tlsConfiguration
        )
    }

    /// Sends a request and returns its answer if it is a success.
    func send(
        _ method: HTTPMethod,
        _ pathAndQuery: String,
        body: [UInt8]? = nil,
        adjust: (inout UpstreamCall) -> Void = { _ in }
    ) async throws(UpstreamFailure) -> UpstreamResponse {
        try await exchange(method, pathAndQuery, body: body, adjust: adjust) { call throws(TransportError) in
            let answer = try await callClient.answer(to: call)
            return (answer, answer)
        }
    }

    /// Asks for an object or a list that may be large, and reads it while it arrives, if the answer is a success.
    ///
    /// A call with `isWatch` takes one of the watches' connections, so that no other call waits for it.
    func read<Reader: UpstreamBodyReader>(
        _ method: HTTPMethod, _ pathAndQuery: String, body: [UInt8]? = nil, reader: Reader, isWatch: Bool = false,
        adjust: (inout UpstreamCall) -> Void = { _ in }
    ) async throws(UpstreamFailure) -> UpstreamReading<Reader> {
        try await exchange(method, pathAndQuery, body: body, adjust: adjust) { call throws(TransportError) in
            let reading = try await (isWatch ? watchClient : callClient).answer(to: call, reader: reader)
            return (reading.answer, reading)
        }
    }

    /// Makes a call, and makes it again where that may help.
    ///
    /// A 401 makes the agent look for renewed credentials at once, and try again if there are any. A 403 that only
    /// says that the API server has just started is retried for ``KubernetesClientOptions/relationshipPatience``.
    func exchange<Value>(
        _ method: HTTPMethod,
        _ pathAndQuery: String,
        body: [UInt8]? = nil,
        adjust: (inout UpstreamCall) -> Void,
        perform: (UpstreamCall) async throws(TransportError) -> (UpstreamResponse, Value)
    ) async throws(UpstreamFailure) -> Value {
        var firstMissing: ContinuousClock.Instant?
        var pause = Duration.milliseconds(50)
        var generation: UInt64?
        while true {
            let snapshot = await credentials.current()
            if let problem = snapshot.problem { throw UpstreamFailure(noCredentials: problem) }
            var call = call(method, pathAndQuery, body: body, as: snapshot)
            adjust(&call)
            let (answer, value): (UpstreamResponse, Value)
            do throws(TransportError) {
                (answer, value) = try await perform(call)
            } catch {
                throw error.failure(of: .kubernetes, at: "Kubernetes API server \(server)")
            }
            if answer.isSuccess { return value }

            let failure = UpstreamFailure(kubernetes: answer)
            if answer.status == 401, generation == nil {
                generation = snapshot.generation
                credentials.distrust()
                if await credentials.current().generation != snapshot.generation { continue }
            } else if failure.isMissingRelationship {
                let now = clock.now
                let first = firstMissing ?? now
                if firstMissing == nil {
                    missingRelationships.withLock { $0 += 1 }
                    logger.info("the API server does not know this node's pods yet; trying again")
                }
                firstMissing = first
                let isInTime = now - first + pause <= options.relationshipPatience
                if isInTime, (try? await clock.sleep(until: now + pause)) != nil {
                    pause *= 2
                    continue
                }
            }
            throw failure
        }
    }

    /// The path of a namespaced ServiceAccount; a name that is none is refused before it becomes part of a URL.
    private func path(of reference: ServiceAccountReference) throws(UpstreamFailure) -> String {
        guard let namespace = PercentEncoding.segment(reference.namespace),
            let name = PercentEncoding.segment(reference.name)
        else {
            throw UpstreamFailure(
                upstream: .kubernetes, kind: .misconfigured, message: "the pod names no ServiceAccount"
            )
        }
        return "/api/v1/namespaces/\(namespace)/serviceaccounts/\(name)"
    }
}

extension KubernetesClient: SubjectTokenIssuing {
    package func issueSubjectToken(
        for pod: PodRecord, serviceAccountUID: String, audience: SubjectAudience
    ) async throws(UpstreamFailure) -> SubjectToken {
        let request = TokenRequest(
            pod: pod,
            serviceAccountUID: serviceAccountUID,
            audience: try name(of: audience),
            expirationSeconds: options.tokenSeconds
        )
        let path = try path(of: ServiceAccountReference(of: pod)) + "/token"
        let answer = try await send(.POST, path, body: request.body)
        return try request.token(from: answer)
    }

    /// The audience as it goes into the request. One that is not configured never does, for no caller.
    private func name(of audience: SubjectAudience) throws(UpstreamFailure) -> String {
        let name: String? =
            switch audience {
            case .tokenExchange: options.audience
            case .relyingParty(let name): options.podTokenAudiences.contains(name) ? name : nil
            case .cloud(let name): options.cloudAudiences.contains(name) ? name : nil
            }
        guard let name else {
            throw UpstreamFailure(
                upstream: .kubernetes, kind: .misconfigured, message: "tokens for this audience are not configured")
        }
        return name
    }
}

extension KubernetesClient: ServiceAccountReading {
    package func serviceAccount(
        _ reference: ServiceAccountReference
    ) async throws(UpstreamFailure) -> ServiceAccountRecord {
        let path = try path(of: reference)
        let reading: UpstreamReading<ObjectReader>
        do throws(UpstreamFailure) {
            reading = try await readObject(path, mask: ServiceAccountRecord.mask(adding: options.cloudAnnotations))
        } catch {
            let failure = error.withServiceAccountReadRemedy
            if let remedy = failure.remedy { logForbiddenReads(failure, remedy: remedy) }
            throw failure
        }
        hasLoggedForbiddenReads.withLock { $0 = false }
        return try ServiceAccountRecord(reading, expected: reference, annotations: options.cloudAnnotations)
    }

    /// Logs it once, until a read works: it concerns every pod of the node, and every request of theirs.
    private func logForbiddenReads(_ failure: UpstreamFailure, remedy: String) {
        let isNews = hasLoggedForbiddenReads.withLock { hasLogged in
            defer { hasLogged = true }
            return !hasLogged
        }
        guard isNews else { return }
        logger.error(
            "this node may not read ServiceAccounts: no pod of it gets a token",
            metadata: ["error": "\(failure.message)", "remedy": "\(remedy)"]
        )
    }
}
