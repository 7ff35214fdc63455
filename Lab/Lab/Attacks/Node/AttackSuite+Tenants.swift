/// D1: what users of the cluster do by objects that they may create.
extension AttackSuite {
    /// Bytes of `<` in a pod's environment, six for each in JSON: etcd takes that, and no more than that.
    private static let paddingBytes = 1_400_000

    var tenants: [Attack] {
        [
            Attack(
                "D1", .tenant, "two pods of 8.4 MB in the API, and the agent starts again", .ownIdentity,
                victim: .refused, leastAnswers: 20
            ) {
                let kubernetes = world.cluster.kubernetes
                let names = ["large-1", "large-2"]
                let value = JSON.repeated("<", count: Self.paddingBytes)
                for name in names {
                    kubernetes.createPod(namespace: "mallory", name: name, node: LabWorld.nodeName)
                    kubernetes.updatePod(namespace: "mallory", name: name) { $0.environmentValue = value }
                }
                defer { for name in names { kubernetes.deletePod(namespace: "mallory", name: name, .force) } }
                try await stage.killAgent()
                try await stage.startAgent()
                return try await stage.got(["connect", "plain"] + Self.metadata, .unprivileged)
            }
        ]
    }
}
