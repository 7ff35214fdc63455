import Tokens

/// The tree below `/computeMetadata/`, from the configuration and the caller's account.
package struct MetadataTree: Sendable {
    private let configuration: MetadataServerConfiguration

    package init(configuration: MetadataServerConfiguration) {
        self.configuration = configuration
    }

    /// The body of `/`, known before there is anything to know.
    package static let root = MetadataValue.directory([.init(Directory.computeMetadata.rawValue, .directory([]))])

    /// `nil` where the configuration leaves the value out.
    package func value(of leaf: Leaf) -> MetadataValue? {
        switch leaf {
        case .hostname: .text(configuration.hostname)
        case .id: .number(configuration.instanceID)
        case .name: configuration.instanceName.map(MetadataValue.text)
        case .zone: .text("projects/\(configuration.numericProjectID)/zones/\(configuration.zone)")
        case .clusterLocation: .text(configuration.clusterLocation)
        case .clusterName: .text(configuration.clusterName)
        case .clusterUID: .text(configuration.clusterUID)
        case .numericProjectID: .number(configuration.numericProjectID)
        case .projectID: .text(configuration.projectID)
        case .universeDomain: .text(configuration.universeDomain)
        }
    }

    /// Whether the directory's listing, or with `recursively` anything below it, depends on the caller.
    package static func dependsOnAccount(_ directory: Directory, recursively: Bool) -> Bool {
        switch directory {
        case .serviceAccounts: true
        case .computeMetadata, .v1, .instance: recursively
        case .attributes, .project, .universe: false
        }
    }

    /// `account` fills `service-accounts/`; without one that directory is empty, which only a listing of a directory
    /// above it does not show.
    package func value(of directory: Directory, account: ServiceAccountView?) -> MetadataValue {
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
    package static func directory(of account: ServiceAccountView) -> MetadataValue {
        .directory(
            ServiceAccountPath.Entry.allCases.map { entry in
                .init(entry.rawValue, value(of: entry, account: account) ?? .credential)
            })
    }

    /// `nil` for the two entries that are minted.
    package static func value(of entry: ServiceAccountPath.Entry, account: ServiceAccountView) -> MetadataValue? {
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
        leaves.compactMap { leaf in
            value(of: leaf).map { .init(leaf.rawValue, $0, isVerbatim: leaf.directory == .attributes) }
        }
    }
}
