/// One `coordination.k8s.io/v1` Lease, by which one of several replicas does what two must not do.
package struct Lease: Codable, Sendable, Hashable {
    package struct Metadata: Codable, Sendable, Hashable {
        package var name: String
        package var namespace: String
        package var resourceVersion: String?
    }

    package struct Spec: Codable, Sendable, Hashable {
        package var holderIdentity: String?
        package var leaseDurationSeconds: Int?
        /// A time in RFC 3339 with microseconds, as is the next.
        package var acquireTime: String?
        package var renewTime: String?
        package var leaseTransitions: Int?

        package init(
            holderIdentity: String?, leaseDurationSeconds: Int, acquireTime: String, renewTime: String,
            leaseTransitions: Int
        ) {
            self.holderIdentity = holderIdentity
            self.leaseDurationSeconds = leaseDurationSeconds
            self.acquireTime = acquireTime
            self.renewTime = renewTime
            self.leaseTransitions = leaseTransitions
        }
    }

    package var apiVersion: String? = "coordination.k8s.io/v1"
    package var kind: String? = "Lease"
    package var metadata: Metadata
    package var spec: Spec

    package init(name: String, namespace: String, spec: Spec, resourceVersion: String? = nil) {
        metadata = Metadata(name: name, namespace: namespace, resourceVersion: resourceVersion)
        self.spec = spec
    }
}
