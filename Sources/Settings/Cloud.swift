import Attribution
package import BPF

/// A cloud by the addresses of its metadata server that are not 169.254.169.254.
///
/// 169.254.169.254 is also DigitalOcean's, Exoscale's, Hetzner's, Huawei's, IBM's, UpCloud's, Vultr's and Yandex's.
/// `docs/operate/clouds.md` has the sources.
package enum Cloud: String, Sendable, CaseIterable {
    case alibaba
    case aws
    /// The credential servers of ECS tasks and of EKS Pod Identity. The latter is a service of the node's that pods are
    /// meant to reach, so that it is protected only where an operator says so.
    case awsContainers = "aws-containers"
    case azure
    case linode
    case openstack
    case oracle
    case scaleway
    case tencent

    /// The clouds whose protection keeps no pod of another cloud from a service that it is meant to reach.
    static let byDefault = allCases.filter { $0 != .awsContainers }

    /// The endpoints that hand out what is the machine's own.
    package var endpoints: [ProtectedEndpoint] {
        switch self {
        case .alibaba: [.ipv4(100, 100, 100, 200)]
        case .aws: [.ipv6(0xfd00_0ec2_0000_0000, 0x254)]
        case .awsContainers:
            [.ipv4(169, 254, 170, 2), .ipv4(169, 254, 170, 23), .ipv6(0xfd00_0ec2_0000_0000, 0x23)]
        // The host agent's two ports with the machine's secrets. Its DNS (53) and the load balancer's probes stay open.
        case .azure: [.ipv4(168, 63, 129, 16, port: 80), .ipv4(168, 63, 129, 16, port: 32526)]
        case .linode: [.ipv6(0xfd00_a9fe_a9fe_0000, 1), .linkLocal]
        case .openstack: [.linkLocal]
        case .oracle: [.ipv6(0xfd00_00c1_0000_0000, 0xa9fe_a9fe)]
        case .scaleway: [.ipv4(169, 254, 42, 42), .ipv6(0xfd00_0042_0000_0000, 0x42)]
        case .tencent: [.ipv4(169, 254, 0, 23)]
        }
    }

    /// Reads a list of names; `nil` if one is none.
    static func list(_ text: String) -> [Cloud]? {
        let parts = ConfigurationKey.parts(text)
        let clouds = parts.compactMap { Cloud(rawValue: $0) }
        return clouds.count == parts.count ? clouds : nil
    }
}

extension ProtectedEndpoint {
    /// `fe80::a9fe:a9fe`.
    fileprivate static let linkLocal = ipv6(0xfe80_0000_0000_0000, 0xa9fe_a9fe)

    fileprivate static func ipv4(
        _ first: UInt32, _ second: UInt32, _ third: UInt32, _ fourth: UInt32, port: UInt16? = nil
    ) -> ProtectedEndpoint {
        ProtectedEndpoint(address: .ipv4(first << 24 | second << 16 | third << 8 | fourth), port: port)
    }

    fileprivate static func ipv6(_ high: UInt64, _ low: UInt64) -> ProtectedEndpoint {
        ProtectedEndpoint(address: .ipv6(high, low))
    }
}

extension AgentConfiguration {
    /// Every endpoint that is refused altogether: the clouds' and the operator's own, each once. An address that is
    /// redirected is none of them.
    package var protectedEndpoints: [ProtectedEndpoint] {
        let redirected = Set(redirectEndpoints.map(\.value))
        var seen: Set<ProtectedEndpoint> = []
        return (clouds.flatMap(\.endpoints) + ownProtectedEndpoints)
            .filter { !redirected.contains($0.address) && seen.insert($0).inserted }
    }
}
