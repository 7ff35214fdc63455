/// The facts about the node and its cluster below `instance/`. None of them is a credential, and nothing depends on it
/// but clients that label their logs and metrics.
package struct InstanceAttributes: Sendable, Hashable {
    /// `instance/id`.
    package var id: UInt64
    /// `instance/hostname`: the node's fully qualified name where it is known.
    package var hostname: String
    /// `instance/name`. GKE has no such entry, but some clients ask for it.
    package var name: String
    /// The last part of `instance/zone`, for example `europe-west1-b`.
    package var zone: String
    /// `instance/attributes/cluster-name`.
    package var clusterName: String
    /// `instance/attributes/cluster-location`.
    package var clusterLocation: String
    /// `instance/attributes/cluster-uid`.
    package var clusterUID: String
    /// The node's region, where it is known.
    package var region: String?

    package init(
        id: UInt64,
        hostname: String,
        name: String,
        zone: String,
        clusterName: String,
        clusterLocation: String,
        clusterUID: String,
        region: String? = nil
    ) {
        self.region = region
        self.id = id
        self.hostname = hostname
        self.name = name
        self.zone = zone
        self.clusterName = clusterName
        self.clusterLocation = clusterLocation
        self.clusterUID = clusterUID
    }
}
