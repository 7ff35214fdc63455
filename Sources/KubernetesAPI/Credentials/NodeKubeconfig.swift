/// The places where kubelets keep their kubeconfig.
package enum NodeKubeconfig {
    /// The places that are looked at, in this order, and who uses each.
    ///
    /// Places that a distribution has to itself come before those that several share, so that leftovers of another kind of
    /// installation do not win: a machine that was once a kubeadm node and runs k3s now still has kubeadm's file.
    package static let places: [(path: String, owner: String)] = [
        ("/var/lib/rancher/k3s/agent/kubelet.kubeconfig", "k3s"),
        ("/var/lib/rancher/rke2/agent/kubelet.kubeconfig", "RKE2"),
        ("/var/lib/k0s/kubelet.conf", "k0s"),
        ("/var/snap/microk8s/current/credentials/kubelet.config", "MicroK8s"),
        ("/etc/kubernetes/kubeconfig-kubelet", "Talos"),
        ("/etc/kubernetes/kubelet/kubeconfig", "Bottlerocket"),
        ("/etc/kubernetes/kubelet.conf", "kubeadm"),
        ("/var/lib/kubelet/kubeconfig", "EKS, AKS, GKE, OpenShift"),
    ]

    /// The first of ``places`` that is a readable file below `hostRoot`, and the others that are.
    ///
    /// - Parameter hostRoot: Where the node's root is mounted; empty if the agent runs in it.
    /// - Returns: The agent's paths.
    /// - Throws: What was looked at, if there is none.
    package static func find(
        hostRoot: String
    ) throws(KubernetesAPIError) -> (path: String, others: [String]) {
        let files = HostFiles(root: hostRoot)
        let found = places.map { files.located($0.path) }.filter { (try? files.version(of: $0)) != nil }
        guard let first = found.first else {
            let list = places.map { "\(files.located($0.path)) (\($0.owner))" }.joined(separator: ", ")
            throw KubernetesAPIError(
                "kubernetes.kubeconfig",
                "is not set, and there is no kubelet's kubeconfig in any known place: \(list); set it, or "
                    + "kubernetes.host-root if the node's root is mounted elsewhere"
            )
        }
        return (first, Array(found.dropFirst()))
    }
}
