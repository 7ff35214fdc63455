import Attribution
import NIOCore
import SpiffeIdentity

/// The messages of Envoy's secret discovery (envoy.service.discovery.v3, envoy.extensions.transport_sockets.tls.v3), as far as
/// secrets need them.
enum SecretMessages {
    private static let tls = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3."
    static let secretType = tls + "Secret"

    /// A stream keeps the names that it was asked for: there are four, and the pod's own ID is the longest.
    private static let nameLimit = (count: 16, bytes: 2048)

    /// DiscoveryRequest. Who a node says that it is decides nothing, and is not read.
    struct Request: Equatable {
        var names: [String] = []
        var type = ""
        var nonce = ""
        /// Whether the client says that it cannot use the answer of that nonce.
        var isRejection = false
    }

    static func request(_ bytes: ByteBuffer) throws(ProtobufError) -> Request {
        var reader = ProtobufReader(bytes)
        var request = Request()
        while let (field, value) = try reader.next() {
            switch field {
            case 3:
                let name = try text(value)
                guard request.names.count < nameLimit.count, name.utf8.count <= nameLimit.bytes else {
                    throw ProtobufError()
                }
                request.names.append(name)
            case 4: request.type = try text(value)
            case 5: request.nonce = try text(value)
            case 6: request.isRejection = true
            default: continue
            }
        }
        return request
    }

    private static func text(_ value: ProtobufReader.Value) throws(ProtobufError) -> String {
        guard let text = value.string else { throw ProtobufError() }
        return text
    }

    /// DiscoveryResponse. The number is version and nonce in one: each answer of a stream has its own.
    static func response(_ secrets: [ByteBuffer], number: Int) -> ByteBuffer {
        var writer = ProtobufWriter(capacity: 4096)
        writer.write(1, string: "\(number)")
        for secret in secrets {
            writer.write(2) { any in
                any.write(1, string: secretType)
                any.write(2, bytes: secret.readableBytesView)
            }
        }
        writer.write(4, string: secretType)
        writer.write(5, string: "\(number)")
        return WorkloadMessages.framed(writer)
    }

    /// A Secret with a TlsCertificate: chain and key in PEM.
    static func certificate(_ svid: X509SVID, name: String) -> ByteBuffer {
        var writer = ProtobufWriter(capacity: 2048)
        writer.write(1, string: name)
        writer.write(2) { certificate in
            certificate.write(1) { $0.write(2, bytes: svid.chainPEM.utf8) }
            certificate.write(2) { $0.write(2, bytes: svid.key.exposedPEM.utf8) }
        }
        return writer.buffer
    }

    /// A Secret with a CertificateValidationContext for Envoy's SPIFFE validator: a peer's trust domain must be the bundle's.
    static func validation(_ bundle: TrustBundle, name: String) -> ByteBuffer {
        var writer = ProtobufWriter(capacity: 2048)
        writer.write(1, string: name)
        writer.write(4) { context in
            context.write(12) { validator in
                validator.write(1, string: "envoy.tls.cert_validator.spiffe")
                validator.write(2) { any in
                    any.write(1, string: tls + "SPIFFECertValidatorConfig")
                    any.write(2) { config in
                        config.write(1) { domain in
                            domain.write(1, string: bundle.trustDomain.name)
                            domain.write(2) { $0.write(2, bytes: bundle.pem.utf8) }
                        }
                    }
                }
            }
        }
        return writer.buffer
    }
}

/// The secrets that one stream has asked for, by SPIRE's and Istio's names.
struct SecretSubscription: Sendable, Equatable {
    /// A kind of secret.
    enum Kind: Sendable, Equatable {
        case certificate
        case validation
    }

    /// More names than there are secrets are no request.
    private static let nameLimit = 16

    let names: [String]
    private let id: SpiffeID

    /// Takes the names of a request of the pod whose ID is `id`; none stand for its certificate and its bundle.
    ///
    /// - Throws: A final no for a name that is not the pod's.
    init(_ names: [String], of id: SpiffeID) throws(GRPCStatus) {
        self.id = id
        self.names = names.isEmpty ? [id.description, id.trustDomain.id] : Array(Set(names)).sorted()
        guard self.names.count <= Self.nameLimit else {
            throw GRPCStatus(.invalidArgument, "a stream may ask for at most \(Self.nameLimit) secrets")
        }
        guard self.names.allSatisfy({ kind(of: $0) != nil }) else {
            throw .noIdentity("a secret's name is neither default, ROOTCA, ALL, nor the caller's own")
        }
    }

    func kind(of name: String) -> Kind? {
        switch name {
        case "default", id.description: .certificate
        case "ROOTCA", "ALL", id.trustDomain.id: .validation
        default: nil
        }
    }

    var needsCertificate: Bool { names.contains { kind(of: $0) == .certificate } }

    /// The secrets that the names stand for; `nil` if one is missing.
    func secrets(_ svid: X509SVID?, _ bundle: TrustBundle?) -> [ByteBuffer]? {
        var secrets: [ByteBuffer] = []
        for name in names {
            switch kind(of: name) {
            case .certificate:
                guard let svid else { return nil }
                secrets.append(SecretMessages.certificate(svid, name: name))
            case .validation:
                guard let bundle else { return nil }
                secrets.append(SecretMessages.validation(bundle, name: name))
            case nil: return nil
            }
        }
        return secrets
    }
}

extension IdentityStore {
    /// The secrets of a subscription; `nil` while one is missing.
    func secrets(_ subscription: SecretSubscription, for pod: PodRecord) -> [ByteBuffer]? {
        let (svid, bundle) = certificateAndBundle(for: pod)
        return subscription.secrets(svid, bundle)
    }

    /// Attributes the caller, and obtains what its names stand for.
    func fetchSecrets(_ names: [String], for peer: WorkloadPeer) async -> Result<FoundSecrets, GRPCStatus> {
        switch await peer.identifyHolding(configuration.holdLimit) {
        case .refused(let refusal): return .failure(refusal.status)
        case .pending: return .failure(GRPCStatus(.unavailable, "the pod is not known yet; ask again"))
        case .caller(let caller):
            do throws(GRPCStatus) { return .success(try await fetchSecrets(names, of: caller.pod)) } catch {
                return .failure(error)
            }
        }
    }

    private func fetchSecrets(_ names: [String], of pod: PodRecord) async throws(GRPCStatus) -> FoundSecrets {
        let id: SpiffeID
        do throws(IssueFailure) { id = try spiffeID(of: pod) } catch { throw error.status }
        let subscription = try SecretSubscription(names, of: id)
        if subscription.needsCertificate { _ = try await fetchCertificateMessage(for: pod) }
        _ = try await fetchBundleMessage(.fetchX509Bundles)
        guard let secrets = secrets(subscription, for: pod) else {
            throw GRPCStatus(.unavailable, "the pod went away meanwhile")
        }
        return FoundSecrets(pod: pod, subscription: subscription, secrets: secrets)
    }
}

/// Secrets, with whose they are and what they were asked for as.
struct FoundSecrets: Sendable {
    var pod: PodRecord
    var subscription: SecretSubscription
    var secrets: [ByteBuffer]
}
