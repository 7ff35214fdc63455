import MetadataProtocol

/// Everything that this room serves: an exact, case-sensitive allow-list of canonical paths.
enum Route: Sendable, Hashable {
    /// `/`, by which clients detect a metadata server.
    case root
    case directory(Directory)
    /// A directory without its final slash.
    case redirect(Directory)
    case leaf(Leaf)
    /// A path below `service-accounts/`: which names exist there depends on the caller.
    case serviceAccount(ServiceAccountPath)
    /// `OwnPath.podToken`, unless no audience is configured.
    case podToken
    /// `OwnPath.podUID`.
    case podUID

    /// Matches a canonical path; `nil` is a 404.
    init?(path: String) {
        if let route = Self.fixed[path] {
            self = route
        } else if let account = ServiceAccountPath(path: path) {
            self = .serviceAccount(account)
        } else {
            return nil
        }
    }

    var routeClass: RouteClass {
        switch self {
        case .root: .root
        case .directory, .redirect: .directory
        case .leaf: .value
        case .serviceAccount(let path): path.routeClass
        case .podToken: .podToken
        case .podUID: .podUID
        }
    }

    private static let fixed: [String: Route] = {
        var routes: [String: Route] = ["/": .root]
        for directory in Directory.allCases {
            routes[directory.path] = .directory(directory)
            routes[String(directory.path.dropLast())] = .redirect(directory)
        }
        for leaf in Leaf.allCases {
            routes[leaf.directory.path + leaf.rawValue] = .leaf(leaf)
        }
        routes[OwnPath.podToken] = .podToken
        routes[OwnPath.podUID] = .podUID
        return routes
    }()
}

/// A directory whose name does not depend on the caller.
enum Directory: String, Sendable, Hashable, CaseIterable {
    case computeMetadata
    case v1
    case instance
    case attributes
    case serviceAccounts = "service-accounts"
    case project
    case universe

    private var parent: Directory? {
        switch self {
        case .computeMetadata: nil
        case .v1: .computeMetadata
        case .instance, .project, .universe: .v1
        case .attributes, .serviceAccounts: .instance
        }
    }

    /// The path with the final slash.
    var path: String { "\(parent?.path ?? "/")\(rawValue)/" }
}

/// A single value that is the same for every caller of this node.
enum Leaf: String, Sendable, Hashable, CaseIterable {
    case hostname
    case id
    case name
    case zone
    case clusterLocation = "cluster-location"
    case clusterName = "cluster-name"
    case clusterUID = "cluster-uid"
    case numericProjectID = "numeric-project-id"
    case projectID = "project-id"
    case universeDomain = "universe-domain"

    var directory: Directory {
        switch self {
        case .hostname, .id, .name, .zone: .instance
        case .clusterLocation, .clusterName, .clusterUID: .attributes
        case .numericProjectID, .projectID: .project
        case .universeDomain: .universe
        }
    }
}
