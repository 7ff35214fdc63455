/// The parts of a workload identity provider's full name that the agent shows.
package struct ProviderName: Equatable {
    /// The pool's own name; the whole audience if it has neither known form.
    package var pool: String
    /// The number of the project that owns the pool, if the name has one.
    package var projectNumber: UInt64?

    /// `//iam.googleapis.com/projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER` or
    /// `identitynamespace:POOL:PROVIDER`.
    package init(_ audience: String) {
        if audience.hasPrefix("identitynamespace:") {
            let parts = audience.split(separator: ":", maxSplits: 2)
            pool = parts.count > 1 ? String(parts[1]) : audience
            return
        }
        let parts = audience.split(separator: "/")
        func value(after name: String) -> String? {
            parts.firstIndex(of: name[...]).flatMap { parts.indices.contains($0 + 1) ? String(parts[$0 + 1]) : nil }
        }
        pool = value(after: "workloadIdentityPools") ?? audience
        projectNumber = value(after: "projects").flatMap { UInt64($0) }
    }
}
