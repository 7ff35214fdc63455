import Tokens

/// The tree below `/computeMetadata/`, from the configuration, the node and the caller's account.
struct MetadataTree: Sendable {
    private let configuration: GoogleMetadataConfiguration

    private let instance: InstanceAttributes

    init(configuration: GoogleMetadataConfiguration, instance: InstanceAttributes) {
        self.configuration = configuration
        self.instance = instance
    }

    /// The body of `/`, known before there is anything to know.
    static let root = MetadataValue.directory([.init(Directory.computeMetadata.rawValue, .directory([]))])

    func value(of leaf: Leaf) -> MetadataValue {
        switch leaf {
        case .hostname: .text(instance.hostname)
        case .id: .number(instance.id)
        case .name: .text(instance.name)
        case .zone: .text("projects/\(configuration.numericProjectID)/zones/\(instance.zone)")
        case .clusterLocation: .text(instance.clusterLocation)
        case .clusterName: .text(instance.clusterName)
        case .clusterUID: .text(instance.clusterUID)
        case .numericProjectID: .number(configuration.numericProjectID)
        case .projectID: .text(configuration.projectID)
        case .universeDomain: .text(configuration.universeDomain)
        }
    }

    /// Whether the directory's listing, or with `recursively` anything below it, depends on the caller.
    static func dependsOnAccount(_ directory: Directory, recursively: Bool) -> Bool {
        switch directory {
        case .serviceAccounts: true
        case .computeMetadata, .v1, .instance: recursively
        case .attributes, .project, .universe: false
        }
    }

    /// `account` fills `service-accounts/`; without one that directory is empty, which only a listing of a directory
    /// above it does not show.
    func value(of directory: Directory, account: ServiceAccountView?) -> MetadataValue {
        switch directory {
        case .computeMetadata: .directory([child(.v1, account)])
        case .v1: .directory([child(.instance, account), child(.project, account), child(.universe, account)])
        case .instance:
            .directory(
                [child(.attributes, account)] + children(.hostname, .id, .name)
                    + [child(.serviceAccounts, account)] + children(.zone))
        case .attributes: .directory(children(.clusterLocation, .clusterName, .clusterUID))
        case .serviceAccounts: account.map(Self.accounts) ?? .directory([])
        case .project: .directory(children(.numericProjectID, .projectID))
        case .universe: .directory(children(.universeDomain))
        }
    }

    /// One service account's directory.
    static func directory(of account: ServiceAccountView) -> MetadataValue {
        .directory(
            ServiceAccountPath.Entry.allCases.map { entry in
                .init(entry.rawValue, value(of: entry, account: account) ?? .credential)
            })
    }

    /// `nil` for the two entries that are minted.
    static func value(of entry: ServiceAccountPath.Entry, account: ServiceAccountView) -> MetadataValue? {
        switch entry {
        case .aliases: .list(["default"])
        case .email: .text(account.email)
        case .scopes: .list(ScopeSet.default.sorted)
        case .identity, .token: nil
        }
    }

    private static func accounts(_ account: ServiceAccountView) -> MetadataValue {
        let directory = directory(of: account)
        return .directory(["default", account.email].map { .init($0, directory, isVerbatim: true) })
    }

    private func child(_ directory: Directory, _ account: ServiceAccountView?) -> MetadataValue.Entry {
        .init(directory.rawValue, value(of: directory, account: account))
    }

    private func children(_ leaves: Leaf...) -> [MetadataValue.Entry] {
        leaves.map { .init($0.rawValue, value(of: $0), isVerbatim: $0.directory == .attributes) }
    }
}
