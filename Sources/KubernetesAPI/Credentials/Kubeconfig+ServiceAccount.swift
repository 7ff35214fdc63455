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

extension Kubeconfig {
    private static let serviceAccountFolder = "/var/run/secrets/kubernetes.io/serviceaccount"

    /// The API server of the cluster that this process is a pod of, asked with the pod's own ServiceAccount.
    ///
    /// - Parameter environment: The process's variables, of which the kubelet sets two.
    /// - Returns: A configuration whose files the kubelet renews.
    /// - Throws: Which variable is missing.
    package static func inCluster(environment: [String: String]) throws(KubernetesAPIError) -> Kubeconfig {
        guard let host = environment["KUBERNETES_SERVICE_HOST"], !host.isEmpty,
            let port = environment["KUBERNETES_SERVICE_PORT"].flatMap({ Int($0) })
        else {
            throw KubernetesAPIError(
                "KUBERNETES_SERVICE_HOST", "is not set: this process is no pod's; name a kubeconfig instead")
        }
        return Kubeconfig(
            path: serviceAccountFolder, server: KubernetesServer(host: host, port: port),
            certificateAuthority: .file(serviceAccountFolder + "/ca.crt"),
            bearerToken: .file(serviceAccountFolder + "/token"), files: HostFiles())
    }
}
