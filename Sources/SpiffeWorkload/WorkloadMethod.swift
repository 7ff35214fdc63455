/// A method of the Workload API.
package enum WorkloadMethod: String, Sendable, Hashable, CaseIterable {
    case fetchX509SVID = "FetchX509SVID"
    case fetchX509Bundles = "FetchX509Bundles"
    case fetchJWTSVID = "FetchJWTSVID"
    case fetchJWTBundles = "FetchJWTBundles"
    case validateJWTSVID = "ValidateJWTSVID"

    private static let prefix = "/SpiffeWorkloadAPI/"

    /// The method that a path names; `nil` for any other, those of the optional WIT profile among them.
    init?(path: String) {
        guard path.hasPrefix(Self.prefix) else { return nil }
        self.init(rawValue: String(path.dropFirst(Self.prefix.count)))
    }

    /// Whether the answer is a stream of messages, each of which replaces the one before.
    var isStream: Bool {
        switch self {
        case .fetchX509SVID, .fetchX509Bundles, .fetchJWTBundles: true
        case .fetchJWTSVID, .validateJWTSVID: false
        }
    }
}
