/// OAuth 2.0 scopes, sorted and without duplicates, so that equal requests share one cache entry.
package struct ScopeSet: Sendable, Hashable {
    /// The scopes of a token whose caller names none, and those that `scopes` lists: the pair that GKE reports.
    package static let `default` = ScopeSet([
        "https://www.googleapis.com/auth/cloud-platform",
        "https://www.googleapis.com/auth/userinfo.email",
    ])

    package let sorted: [String]
    /// Scopes are long and looked up for every request, so their hash is kept.
    private let hash: Int

    package init(_ scopes: some Sequence<String>) {
        self.sorted = Set(scopes.filter { !$0.isEmpty }).sorted()
        self.hash = sorted.hashValue
    }

    package var isEmpty: Bool { sorted.isEmpty }

    package func hash(into hasher: inout Hasher) {
        hasher.combine(hash)
    }
}
