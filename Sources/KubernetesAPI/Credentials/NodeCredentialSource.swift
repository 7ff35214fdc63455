/// Gives the node's credentials for the API server: ``NodeCredentials`` from files and plugins, or a simulated kubelet's.
package protocol NodeCredentialSource: Sendable {
    var server: KubernetesServer { get }

    /// The credentials in use, without a look at where they come from.
    var latest: NodeCredentials.Snapshot { get }

    /// The credentials to use for a request that begins now.
    func current() async -> NodeCredentials.Snapshot

    /// The API server refused these credentials: the next request looks for newer ones.
    func distrust()
}

extension NodeCredentials: NodeCredentialSource {
    package var server: KubernetesServer { kubeconfig.server }
}
