extension RealClient {
    /// Every client that the lab knows.
    package static let all = [
        googleAuth, googleAuthIdentity, cloudStorage, goMetadata, goDetection, goOAuth2, rclone, rubyGoogleAuth,
        javaURLConnection, javaHTTPClient, javaUpgradingClient, node, curl, wget, busyboxWget, ab, grpc, cloudLogging,
        mongoDB,
    ]

    private static let googleAuth = RealClient(
        name: "google-auth", program: .python("google_auth.py"), finds: [.project, .token, .email, .universe],
        requests: { _ in ["root.200": 1...1, "value.200": 2...2, "account.200": 1...1, "access_token.200": 1...1] },
        spellings: [.name],
        readsEnvironment: true
    )

    private static let googleAuthIdentity = RealClient(
        name: "google-auth id_token", program: .python("id_token.py"), finds: [.identity],
        requests: { _ in ["root.200": 1...1, "account.200": 1...1, "identity_token.200": 1...1] }, spellings: [.name],
        needsGoogleAccount: true, readsEnvironment: true
    )

    /// The client's first call fetches the bucket's metadata in a thread of its own: each of the two may find no token yet.
    private static let cloudStorage = RealClient(
        name: "google-cloud-storage", program: .python("cloud_storage.py"), finds: [.project, .listing, .object],
        requests: { _ in ["root.200": 2...2, "value.200": 3...3, "account.200": 1...2, "access_token.200": 1...2] },
        spellings: [.name],
        readsEnvironment: true
    )

    private static let goMetadata = RealClient(
        name: "Go metadata", program: .go("metadata"), finds: [.project, .email, .token],
        requests: { $0.goDetection(["value.200": 1...1, "account.200": 1...1, "access_token.200": 1...1]) },
        spellings: [.address, .name]
    )

    /// The server's answer races against the resolver's where the name does not resolve: it has to win every time.
    private static let goDetection = RealClient(
        name: "Go OnGCE x100", program: .shell("on-gce.sh", ["100"]), finds: [.detections],
        requests: { _ in ["root.200": 100...100] }, spellings: [.address, .name], resolutions: [.none]
    )

    private static let goOAuth2 = RealClient(
        name: "Go oauth2", program: .go("oauth2"), finds: [.project, .token],
        requests: { $0.goDetection(["value.200": 1...1, "access_token.200": 1...1]) }, spellings: [.address, .name]
    )

    private static let rclone = RealClient(
        name: "rclone", program: .shell("rclone.sh"), finds: [.object],
        requests: { $0.goDetection(["value.200": 1...1, "access_token.200": 1...1]) }, spellings: [.address, .name]
    )

    private static let rubyGoogleAuth = RealClient(
        name: "ruby googleauth", program: .ruby("googleauth.rb"), finds: [.token],
        requests: { _ in ["root.200": 1...1, "access_token.200": 1...1] }, spellings: [.address]
    )

    private static let javaURLConnection = java("HttpURLConnection", finds: [.socket])
    private static let javaHTTPClient = java("HttpClient-1.1", finds: [.socket])
    /// Java's default: each request offers an upgrade to HTTP/2, and the agent ends the connection with its answer.
    private static let javaUpgradingClient = java("HttpClient-2")

    private static func java(_ client: String, finds: Set<Finding.Name> = []) -> RealClient {
        RealClient(
            name: "Java \(client)", program: .java(client), finds: finds.union([.token, .email, .identity]),
            requests: { _ in
                [
                    "root.200": 1...1, "access_token.200": 1...1, "directory.200": 1...1, "unknown.404": 1...1,
                    "identity_token.200": 1...1,
                ]
            },
            spellings: [.name], needsGoogleAccount: true, readsEnvironment: true
        )
    }

    /// gcp-metadata asks by the name and by the address, and goes on by the address.
    private static let node = RealClient(
        name: "Node replay", program: .node("gcp_metadata.mjs"),
        finds: [.project, .universe, .email, .token, .identity],
        requests: { resolution in
            let pings: UInt64 = resolution.isNameServer ? 2 : 1
            return [
                "directory.301": pings...pings, "directory.200": pings...pings, "value.200": 2...2,
                "account.200": 1...1, "access_token.200": 1...1, "identity_token.200": 1...1,
            ]
        }, spellings: [.address, .absolute],
        needsGoogleAccount: true
    )

    /// HEAD counts as its route's: the two of the token are one HEAD and one GET.
    private static let curl = RealClient(
        name: "curl", program: .shell("curl.sh"), finds: [.project, .email, .token],
        requests: { _ in
            [
                "root.200": 1...1, "value.200": 1...1, "directory.301": 1...1, "directory.200": 1...1,
                "account.200": 1...1, "access_token.200": 2...2,
            ]
        }, spellings: [.name],
        needsGoogleAccount: true, readsEnvironment: true
    )

    private static let wget = RealClient(
        name: "wget", program: .shell("wget.sh"), finds: [.project, .token],
        requests: { _ in ["value.200": 1...1, "access_token.200": 1...1] }, spellings: [.name], readsEnvironment: true
    )

    private static let busyboxWget = RealClient(
        name: "busybox wget", program: .shell("wget.sh", ["busybox"]), finds: [.project, .token],
        requests: { _ in ["value.200": 1...1, "access_token.200": 1...1] }, spellings: [.name], readsEnvironment: true
    )

    private static let ab = RealClient(
        name: "ab", program: .shell("ab.sh"), finds: [.complete, .failed, .token],
        requests: { _ in ["access_token.200": 100...100] }, spellings: [.name], readsEnvironment: true
    )

    /// The client's call credentials, for a server of its own.
    private static let grpc = RealClient(
        name: "gRPC C++", program: .shell("grpc.sh"), finds: [.token],
        requests: { _ in ["root.200": 1...1, "access_token.200": 1...1] }, spellings: [.absolute]
    )

    /// The client labels log entries by what it learns.
    private static let cloudLogging = RealClient(
        name: "google-cloud-logging", program: .python("cloud_logging.py"), finds: [.resource, .project],
        requests: { _ in ["value.200": 5...5] }, spellings: [.absolute]
    )

    private static let mongoDB = RealClient(
        name: "pymongo, MONGODB-OIDC", program: .python("mongodb.py"), finds: [.identity],
        requests: { _ in ["identity_token.200": 1...1] }, spellings: [.short], needsGoogleAccount: true
    )
}

extension NameResolution {
    /// `requests`, and those by which Go finds out where it runs: it asks the server and the resolver at the same time,
    /// and ends the slower question unanswered.
    fileprivate func goDetection(_ requests: RealClient.Requests) -> RealClient.Requests {
        requests.merging(["root.200": self == .none ? 1...1 : 0...1]) { $1 }
    }
}
