extension Kubeconfig {
    /// The same API server, asked with a pod's own ServiceAccount token instead of the node's credentials.
    ///
    /// `tokenFile` is the agent's path, and may be renewed under us. No client certificate goes with it: the API server
    /// would take the caller for whom that says.
    package func asServiceAccount(tokenFile: String) -> Kubeconfig {
        var copy = self
        copy.clientCertificate = nil
        copy.bearerToken = .file(tokenFile)
        return copy
    }
}
