/// One real client: how it runs, what it must learn, and what it asks on the way.
package struct RealClient: Sendable, CustomStringConvertible {
    /// A program in `Tests/Clients`, by the language that runs it.
    enum Program: Sendable {
        case python(String)
        /// The same with the libraries of another virtual environment.
        case environment(ClientPrograms.Environment, String)
        case go(String)
        /// A program that `.ci/setup-clients` compiled.
        case compiled(String)
        case ruby(String)
        case java(String)
        /// A class beside the AWS SDK for Java.
        case awsJava(String)
        case php(String)
        case node(String)
        case shell(String, [String] = [])
        /// A shell program whose first argument is a tool of a virtual environment.
        case tool(String, ClientPrograms.Environment, String, [String] = [])
    }

    /// How often each route class was answered with each status, by the names of the agent's counters without
    /// `answers.`: `access_token.200`.
    package typealias Requests = [String: ClosedRange<UInt64>]

    package let name: String
    let program: Program
    /// The names that it must print, besides its version: exactly these.
    let finds: Set<Finding.Name>
    /// The requests that it sends when names resolve like this.
    let requests: @Sendable (NameResolution) -> Requests
    /// How it writes the metadata server: it works where one of these is found.
    let spellings: Set<Spelling>
    /// Needs an account that can have identity tokens.
    var needsGoogleAccount = false
    /// Takes the address from `GCE_METADATA_HOST`, and has no other way where the name does not resolve.
    var readsEnvironment = false
    /// The ways to resolve names with which it is run.
    var resolutions = NameResolution.allCases

    package var description: String { name }
}

/// A client in a pod with a way to resolve names and an account.
package struct ClientCase: Sendable, CustomStringConvertible {
    package let client: RealClient
    package let resolution: NameResolution

    /// The audience of every identity token that a client asks for.
    static let audience = "https://service.example/path"

    /// Whether the pod's ServiceAccount acts as a Google service account. Both kinds are tried: a client whose account
    /// is free does so where names come from the hosts file.
    package var usesGoogleAccount: Bool { client.needsGoogleAccount || resolution == .hosts }

    /// Whether the pod's environment names the metadata server's address.
    var namesAddress: Bool { client.readsEnvironment && resolution == .none }

    /// Whether the client finds the metadata server. Those that do not are run too: `deploy/dns` says which they are.
    package var works: Bool { namesAddress || client.spellings.contains { resolution.resolves($0) } }

    /// The source of the address, for a reader.
    package var addressSource: String {
        namesAddress ? "none, GCE_METADATA_HOST" : resolution.rawValue
    }

    package var requests: RealClient.Requests { client.requests(resolution) }

    package var description: String { "\(client.name), \(resolution.rawValue)" }

    /// Every client with every way to resolve names that it supports.
    package static let all = RealClient.all.flatMap { client in
        client.resolutions.map { ClientCase(client: client, resolution: $0) }
    }
}
