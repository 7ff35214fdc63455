import MetadataProtocol

/// A canonical path below `service-accounts/`, not yet matched against the names that the caller's account has.
///
/// A name may contain slashes (`principal:/iam.googleapis.com/...`: clients and the canonical form collapse its `//`), so
/// the path is not split into segments; it is compared as a whole with each name that exists.
struct ServiceAccountPath: Sendable, Hashable {
    /// The entries of a service account's directory.
    enum Entry: String, Sendable, Hashable, CaseIterable {
        case aliases
        case email
        case identity
        case scopes
        case token
    }

    /// The resource that the path names, for a caller whose account has the name in it.
    enum Resource: Sendable, Hashable {
        case directory
        /// The directory without its final slash.
        case redirect
        case entry(Entry)
    }

    /// The part after `service-accounts/`, not empty.
    let rest: String
    /// The resource, if the path names the account by the name that every account has.
    let defaultResource: Resource?

    init?(path: String) {
        guard path.utf8.count > Self.prefix.utf8.count, path.hasPrefix(Self.prefix) else { return nil }
        self.rest = String(path.dropFirst(Self.prefix.utf8.count))
        self.defaultResource = Self.resource(at: rest, of: ServiceAccountView.defaultName)
    }

    private static let prefix = Directory.serviceAccounts.path

    /// The resource, if `name` is the account that the path names.
    func resource(of name: String) -> Resource? {
        Self.resource(at: rest, of: name)
    }

    private static func resource(at rest: String, of name: String) -> Resource? {
        guard rest.hasPrefix(name) else { return nil }
        switch rest.dropFirst(name.utf8.count) {
        case "": return .redirect
        case "/": return .directory
        case let suffix where suffix.first == "/": return Entry(rawValue: String(suffix.dropFirst())).map { .entry($0) }
        default: return nil
        }
    }

    /// The entry by the last segment alone: what a request was about is known before its caller is.
    var lastEntry: Entry? {
        rest.utf8.lastIndex(of: UInt8(ascii: "/")).flatMap { slash in
            Entry(rawValue: String(rest[rest.utf8.index(after: slash)...]))
        }
    }

    var routeClass: RouteClass {
        switch lastEntry {
        case .token: .accessToken
        case .identity: .identityToken
        case .aliases, .email, .scopes, nil: .account
        }
    }
}
