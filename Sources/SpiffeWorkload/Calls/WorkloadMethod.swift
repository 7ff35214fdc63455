/// A method of the Workload API, or of Envoy's secret discovery service.
package enum WorkloadMethod: String, Sendable, Hashable, CaseIterable {
    case fetchX509SVID = "FetchX509SVID"
    case fetchX509Bundles = "FetchX509Bundles"
    case fetchJWTSVID = "FetchJWTSVID"
    case fetchJWTBundles = "FetchJWTBundles"
    case validateJWTSVID = "ValidateJWTSVID"
    case streamSecrets = "StreamSecrets"

    /// Parses a path; `nil` for any that is not served, those of the optional WIT profile and of delta discovery among them.
    init?(path: String) {
        guard let method = Self.allCases.first(where: { $0.path == path }) else { return nil }
        self = method
    }

    private var path: String {
        let service = self == .streamSecrets ? "envoy.service.secret.v3.SecretDiscoveryService" : "SpiffeWorkloadAPI"
        return "/\(service)/\(rawValue)"
    }

    /// Whether the answer is a stream of messages, each of which replaces the one before.
    var isStream: Bool {
        switch self {
        case .fetchX509SVID, .fetchX509Bundles, .fetchJWTBundles, .streamSecrets: true
        case .fetchJWTSVID, .validateJWTSVID: false
        }
    }

    /// Whether a stream of it shows the pod's certificate, which is therefore renewed while the stream is open.
    var showsCertificate: Bool { self == .fetchX509SVID || self == .streamSecrets }

    /// Whether a call must carry the security header of the Workload API; Envoy's clients know none.
    var needsSecurityHeader: Bool { self != .streamSecrets }
}
