/// Everything that this server serves: an exact, case-sensitive allow-list of canonical paths.
package enum Route: Sendable, Hashable {
    /// `/`, by which clients detect a metadata server.
    case root
    case directory(Directory)
    /// A directory without its final slash.
    case redirect(Directory)
    case leaf(Leaf)
    /// Below `service-accounts/`: which names exist there depends on the caller.
    case serviceAccount(ServiceAccountPath)
    /// ``podTokenPath``, unless no audience is configured.
    case podToken
    /// ``podUIDPath``.
    case podUID
    /// A path of another cloud's protocol. Behind a pointer, because every request copies its route and these are larger.
    indirect case cloud(CloudRequest)

    /// Matches a canonical path; `nil` is a 404.
    package init?(path: String) {
        if let route = Self.fixed[path] {
            self = route
        } else if let account = ServiceAccountPath(path: path) {
            self = .serviceAccount(account)
        } else {
            return nil
        }
    }

    package var routeClass: RouteClass {
        switch self {
        case .root: .root
        case .directory, .redirect: .directory
        case .leaf: .value
        case .serviceAccount(let path): path.routeClass
        case .podToken: .podToken
        case .podUID: .podUID
        case .cloud(let request): request.routeClass
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
        routes[podTokenPath] = .podToken
        routes[podUIDPath] = .podUID
        return routes
    }()

    /// Where a pod fetches its own Kubernetes JWT for a relying party that is not Google: a secrets manager that shall
    /// know which pod asks, without a secret shared beforehand.
    ///
    /// `GET /podidentd/v1/token?audience=A` with `Metadata-Flavor: Google`, where A is one of
    /// ``MetadataServerConfiguration/podTokenAudiences``. Answers the bare JWT (`application/jwt`), which is what Vault's
    /// `jwt` parameter and every reader of a projected token file take; with `alt=json`
    /// `{"token":"JWT","expires_in":SECONDS}`. The relying party has it verified by the cluster: by TokenReview, which
    /// also knows whether the pod still exists, or with the keys of its discovery document.
    ///
    /// Outside Google's tree, and in no listing of it.
    package static let podTokenPath = "/podidentd/v1/token"

    /// Names the pod that the agent takes the caller for.
    ///
    /// `GET /podidentd/v1/pod-uid` with `Metadata-Flavor: Google` answers the UID of the caller's own pod and nothing else,
    /// so that a caller learns nothing about any other pod. The agent proves its readiness by asking itself this question
    /// from its own pod; a person who doubts the attribution can ask it from any pod.
    ///
    /// Outside Google's tree, and in no listing of it.
    package static let podUIDPath = "/podidentd/v1/pod-uid"
}

/// A directory whose name does not depend on the caller.
package enum Directory: String, Sendable, Hashable, CaseIterable {
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

    /// With the final slash.
    package var path: String { "\(parent?.path ?? "/")\(rawValue)/" }
}

/// A single value that is the same for every caller of this node.
package enum Leaf: String, Sendable, Hashable, CaseIterable {
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

    package var directory: Directory {
        switch self {
        case .hostname, .id, .name, .zone: .instance
        case .clusterLocation, .clusterName, .clusterUID: .attributes
        case .numericProjectID, .projectID: .project
        case .universeDomain: .universe
        }
    }
}
