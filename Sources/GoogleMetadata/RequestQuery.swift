import MetadataProtocol
import Tokens

/// The query parameters that mean something. Others are ignored, as clients add their own (`licenses`, `transport`).
struct RequestQuery: Sendable, Hashable {
    enum Alternative: String, Sendable, Hashable {
        case json
        case text
    }

    /// `recursive=true`, in any case; Python 2 clients send `True`.
    var isRecursive = false
    var alternative: Alternative?
    var waitsForChange = false
    var lastETag: String?
    /// `timeout_sec`, in seconds.
    var timeout: Int64?
    /// `nil` where the caller named none.
    var scopes: ScopeSet?
    var audience: String?

    init() {}

    /// A known key that appears twice is refused: which one counts is what a smuggled parameter plays with.
    init(parsing query: String?) throws(RequestRefusal) {
        guard let query, !query.isEmpty else { return }
        var seen: Set<Key> = []
        for (name, value) in try QueryParameters.fields(of: query) {
            guard let key = Key(rawValue: name) else { continue }
            guard seen.insert(key).inserted else { throw .badQuery("\(key.rawValue) is given more than once.") }
            try apply(key, value)
        }
    }

    private enum Key: String {
        case recursive
        case alt
        case waitForChange = "wait_for_change"
        case lastETag = "last_etag"
        case timeout = "timeout_sec"
        case scopes
        case enforceScopes = "enforce_scopes"
        case audience
    }

    private mutating func apply(_ key: Key, _ value: String) throws(RequestRefusal) {
        switch key {
        case .recursive:
            isRecursive = value.lowercased() == "true"
        case .alt:
            guard let alternative = Alternative(rawValue: value) else { throw .badQuery("alt must be json or text.") }
            self.alternative = alternative
        case .waitForChange:
            waitsForChange = value.lowercased() == "true"
        case .lastETag:
            lastETag = value
        case .timeout:
            guard let seconds = Int64(value), seconds >= 0 else {
                throw .badQuery("timeout_sec must be a whole number of seconds.")
            }
            timeout = seconds
        case .scopes:
            let separators = value.utf8.count(where: { $0 == UInt8(ascii: ",") || $0 == UInt8(ascii: " ") })
            guard separators < Self.scopesMax, value.utf8.count <= Self.scopesBytesMax else {
                throw .badQuery(
                    "scopes may name at most \(Self.scopesMax) scopes, in \(Self.scopesBytesMax) bytes at most.")
            }
            let scopes = ScopeSet(value.split { $0 == "," || $0 == " " }.map(String.init))
            guard scopes.sorted.allSatisfy(Self.isScopeToken) else {
                throw .badQuery("scopes has a character that no OAuth 2.0 scope has.")
            }
            self.scopes = scopes.isEmpty ? nil : scopes
        case .enforceScopes:
            // Scopes are always honoured here; a client that asks for them not to be would be misled.
            guard ["true", "1", "yes", "y"].contains(value.lowercased()) else {
                throw .badQuery("enforce_scopes must be true, if it is given.")
            }
        case .audience:
            guard value.utf8.allSatisfy({ (0x20...0x7e).contains($0) }) else {
                throw .badQuery("audience must be printable ASCII.")
            }
            guard value.utf8.count <= Self.audienceBytesMax else {
                throw .badQuery("audience may have at most \(Self.audienceBytesMax) bytes.")
            }
            audience = value
        }
    }

    /// Scopes of one request. Clients name a handful; a target full of short ones would be thousands, which are split,
    /// sorted and compared on an event loop of all pods'.
    private static let scopesMax = 128

    /// Scopes and audiences are kept with each of the 128 tokens that a pod may have, and an audience is in its token once
    /// more: without this the tokens of a node's pods would be more than the agent's memory.
    private static let scopesBytesMax = 4096
    private static let audienceBytesMax = 1024

    /// RFC 6749, section 3.3.
    private static func isScopeToken(_ scope: String) -> Bool {
        scope.utf8.allSatisfy { (0x21...0x7e).contains($0) && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: "\\") }
    }
}
