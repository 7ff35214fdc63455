/// How a pod of the lab learns the address of `metadata.google.internal`.
package enum NameResolution: String, Sendable, Hashable, CaseIterable {
    /// By an entry in `/etc/hosts`; its name server knows nothing.
    case hosts
    /// By its name server.
    case dns
    /// Not at all: the name server answers NXDOMAIN, as on a machine that is not Google's.
    case none

    package static let metadataName = "metadata.google.internal"

    /// What the pod's name server knows.
    var names: [String: String] {
        self == .dns ? [Self.metadataName: LabNode.metadataAddress] : [:]
    }

    /// What the pod sees in `/etc`, by path.
    var files: [String: String] {
        let entry = self == .hosts ? "\(LabNode.metadataAddress) \(Self.metadataName)\n" : ""
        return [
            "/etc/hosts": "127.0.0.1 localhost\n" + entry,
            "/etc/resolv.conf": "nameserver \(LabNode.address)\n",
            "/etc/nsswitch.conf": "hosts: files dns\n",
        ]
    }
}
