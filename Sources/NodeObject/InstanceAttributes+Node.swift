package import GoogleMetadata
package import KubernetesAPI
package import Settings
import Text

extension InstanceAttributes {
    /// The answers of `instance/` on this node: what is configured; else what the Node says in an annotation, else in a
    /// label, of our own prefix; else what Kubernetes itself knows; else a default.
    ///
    /// `node` is `nil` while it has not been read. Each key of the configuration documents its own sources.
    package init(_ configuration: AgentConfiguration, node: NodeRecord?) {
        let region = node?.label("topology.kubernetes.io/region")
        self.init(
            id: configuration.instanceID ?? node?.instanceID ?? 0,
            hostname: configuration.hostname ?? node?.own("hostname") ?? node?.address("InternalDNS")
                ?? node?.address("Hostname") ?? configuration.nodeName,
            name: configuration.nodeName,
            zone: configuration.zone ?? node?.own("zone") ?? node?.label("topology.kubernetes.io/zone") ?? Self.unknown,
            clusterName: configuration.clusterName ?? node?.own("cluster-name") ?? Self.unknown,
            clusterLocation: configuration.clusterLocation ?? node?.own("cluster-location") ?? region ?? Self.unknown,
            clusterUID: configuration.clusterUID ?? node?.own("cluster-uid") ?? Self.unknown,
            region: region
        )
    }

    static let unknown = "unknown"
}

extension NodeRecord {
    /// The annotation, else the label, `podidentd.io/NAME`.
    fileprivate func own(_ name: String) -> String? {
        Self.usable(annotations["podidentd.io/\(name)"]) ?? label("podidentd.io/\(name)")
    }

    fileprivate func label(_ name: String) -> String? {
        Self.usable(labels[name])
    }

    fileprivate func address(_ type: String) -> String? {
        Self.usable(addresses[type])
    }

    /// Clients want a number and keep it as an identity. So it must be one, and stay the same as long as the Node
    /// object lives: what an operator stated, else the number that the cloud gave the machine, else a hash of the
    /// Node's UID.
    fileprivate var instanceID: UInt64? {
        own("instance-id").flatMap(Self.number)
            ?? providerID?.split(separator: "/").last.flatMap { Self.number(String($0)) }
            ?? Self.usable(annotations["container.googleapis.com/instance_id"]).flatMap(Self.number)
            ?? Self.hash(uid)
    }

    private static func number(_ text: String) -> UInt64? {
        text.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) } ? UInt64(text) : nil
    }

    /// The UID's hash without the highest bit: some clients read the ID as a signed number. `nil` if there is no UID.
    private static func hash(_ uid: String) -> UInt64? {
        uid.isEmpty ? nil : uid.stableHash & UInt64(Int64.max)
    }

    /// A name that can stand in a line and in a path (`projects/N/zones/ZONE`); anything else counts as absent. 253
    /// bytes are the longest DNS name.
    private static func usable(_ text: String?) -> String? {
        guard let text, (1...253).contains(text.utf8.count),
            text.utf8.allSatisfy({ (0x21...0x7e).contains($0) && $0 != UInt8(ascii: "/") })
        else { return nil }
        return text
    }
}
