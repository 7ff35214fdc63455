/// A command to a ``Stage``.
struct StageCommand: Decodable {
    enum Name: String, Decodable {
        /// Prints where the node is, with a configuration file for an agent.
        case node
        /// Gives the node as many pods as `count` says.
        case pods
        /// Upstreams answer `milliseconds` late.
        case delay
        /// Google's access tokens have `count` characters from now on.
        case tokenLength = "token-length"
        /// Prints the upstreams' requests since the last time.
        case upstream
        /// AWS and Azure, with identities for the pods' ServiceAccount, and a configuration file that serves them.
        case clouds
        /// A signer, with a configuration file for an agent that serves SPIFFE by it.
        case spiffe
        /// A token of the pod `name` for the signer.
        case token
    }

    var command: Name
    var count: Int?
    var milliseconds: Int?
    var name: String?
}
