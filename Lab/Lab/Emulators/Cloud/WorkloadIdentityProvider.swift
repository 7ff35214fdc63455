/// A workload identity pool provider: which issuer's tokens the token service accepts, and for whom.
package struct WorkloadIdentityProvider: Sendable {
    /// The full name, `//iam.googleapis.com/projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/ID`,
    /// or `identitynamespace:POOL:PROVIDER`.
    package var name: String
    /// The `iss` that tokens must carry.
    package var issuer: String
    /// The issuer's keys, as an uploaded `jwksJson` holds them.
    package var keys: JSONWebKeySet
    /// `nil`: the provider's name, with or without `https:` in front.
    package var allowedAudiences: [String]?
    /// A disabled or deleted provider is an invalid target.
    package var isEnabled = true
    /// The attribute condition: `false` refuses the subject.
    package var condition: @Sendable (LabSubject) -> Bool = { _ in true }

    package init(name: String, issuer: String, keys: JSONWebKeySet, allowedAudiences: [String]? = nil) {
        self.name = name
        self.issuer = issuer
        self.keys = keys
        self.allowedAudiences = allowedAudiences
    }

    /// Audiences that a subject token may be meant for.
    var acceptedAudiences: [String] {
        if let allowedAudiences { return allowedAudiences }
        // GKE and fleet pools expect the pool's own name: identitynamespace:POOL:PROVIDER.
        let parts = name.split(separator: ":", maxSplits: 2)
        if parts.first == "identitynamespace", parts.count == 3 { return [String(parts[1])] }
        return [name, "https:\(name)"]
    }

    /// Whether `audience` has the form of a provider's name at all.
    static func isWellFormed(_ audience: String) -> Bool {
        if audience.hasPrefix("identitynamespace:") { return audience.split(separator: ":").count >= 3 }
        let parts = audience.split(separator: "/")
        return audience.hasPrefix("//iam.") && parts.count == 9 && parts[1] == "projects" && parts[3] == "locations"
            && parts[5] == "workloadIdentityPools" && parts[7] == "providers"
    }
}
