import Attribution
import NIOCore
import SpiffeIdentity

/// One call's request, read from its message.
enum Call: Sendable, Equatable {
    case certificate
    case bundle(WorkloadMethod)
    /// The audiences in order, each once.
    case token(audience: [String], spiffeID: String)
    case validation(audience: String, token: String)

    /// Each token that is held has its audiences in it, and is found by them: what all pods hold must fit into memory.
    private static let audienceLimit = (count: 16, bytes: 1024, allBytes: 2048)

    init(_ method: WorkloadMethod, _ message: ByteBuffer) throws(GRPCStatus) {
        do throws(ProtobufError) {
            switch method {
            case .fetchX509SVID:
                try WorkloadMessages.checkEmpty(message)
                self = .certificate
            case .fetchX509Bundles, .fetchJWTBundles:
                try WorkloadMessages.checkEmpty(message)
                self = .bundle(method)
            case .fetchJWTSVID:
                let request = try WorkloadMessages.tokenRequest(message)
                self = .token(audience: Array(Set(request.audience)).sorted(), spiffeID: request.spiffeID)
            case .validateJWTSVID:
                let request = try WorkloadMessages.validationRequest(message)
                self = .validation(audience: request.audience, token: request.token)
            // A stream of requests: see SecretStreamHandler.
            case .streamSecrets: throw ProtobufError()
            }
        } catch {
            throw .malformed
        }
        try check()
    }

    private func check() throws(GRPCStatus) {
        guard case .token(let audience, _) = self else { return }
        guard !audience.isEmpty else { throw GRPCStatus(.invalidArgument, "audience must be specified") }
        let limit = Self.audienceLimit
        guard audience.count <= limit.count, audience.allSatisfy({ !$0.isEmpty && $0.utf8.count <= limit.bytes }) else {
            throw GRPCStatus(
                .invalidArgument, "at most \(limit.count) audiences of 1 to \(limit.bytes) bytes may be specified")
        }
        guard audience.reduce(0, { $0 + $1.utf8.count }) <= limit.allBytes else {
            throw GRPCStatus(.invalidArgument, "all audiences may have at most \(limit.allBytes) bytes together")
        }
    }

    /// The answer, where it needs no other party.
    func answerAtHand(for caller: Caller, _ store: IdentityStore) -> ByteBuffer? {
        let pod = caller.pod
        switch self {
        case .certificate: return store.certificateMessage(for: pod)
        case .bundle(let method): return store.message(of: method, for: pod)
        case .token(let audience, let spiffeID):
            guard spiffeID.isEmpty || spiffeID == (try? store.spiffeID(of: pod))?.description else { return nil }
            return store.tokenMessage(for: pod, audience: audience, container: caller.containerID)
        case .validation: return nil
        }
    }

    /// The answer, whatever it takes: the pod's record, and what has to be obtained for it.
    func answer(_ peer: WorkloadPeer, _ store: IdentityStore) async -> Result<(PodRecord, ByteBuffer), GRPCStatus> {
        let caller: Caller
        switch await peer.identifyHolding(store.configuration.holdLimit) {
        case .refused(let refusal): return .failure(refusal.status)
        case .pending: return .failure(GRPCStatus(.unavailable, "the pod is not known yet; ask again"))
        case .caller(let found): caller = found
        }
        do throws(GRPCStatus) {
            return .success((caller.pod, try await message(for: caller, store)))
        } catch {
            return .failure(error)
        }
    }

    private func message(for caller: Caller, _ store: IdentityStore) async throws(GRPCStatus) -> ByteBuffer {
        let pod = caller.pod
        switch self {
        case .certificate: return try await store.fetchCertificateMessage(for: pod)
        case .bundle(let method): return try await store.fetchBundleMessage(method)
        case .token(let audience, let spiffeID):
            let own = try? store.spiffeID(of: pod).description
            guard spiffeID.isEmpty || spiffeID == own else { throw .noIdentity("the SPIFFE ID is not the caller's") }
            return try await store.fetchTokenMessage(
                for: pod, audience: audience, container: caller.containerID)
        case .validation(let audience, let token):
            return try await store.validationMessage(.init(audience: audience, token: token))
        }
    }
}
