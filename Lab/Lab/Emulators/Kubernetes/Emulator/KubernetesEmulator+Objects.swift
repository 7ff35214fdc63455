import Foundation
import Synchronization

/// Nodes, ServiceAccounts, pods and RBAC, as `kubectl` and controllers would change them.
extension KubernetesEmulator {
    /// How a pod is deleted.
    package enum Deletion: Sendable {
        /// Sets `deletionTimestamp`; the pod goes with ``KubernetesEmulator/finishDeletion(namespace:name:)``.
        case graceful(seconds: Int)
        /// Removes the object at once, as `--grace-period=0 --force` does.
        case force
    }

    /// Registers a Node object.
    package func addNode(_ name: String, uid: String = UUID().uuidString.lowercased()) {
        let node = LabNodeObject(name: name, uid: uid)
        storage.withLock { $0.state.setNode(node) }
    }

    /// Changes a Node object: labels, annotations, addresses. Does nothing if there is no such node.
    package func updateNode(_ name: String, _ change: @Sendable (inout LabNodeObject) -> Void) {
        storage.withLock { storage in
            guard var node = storage.state.nodes[name] else { return }
            change(&node)
            storage.state.setNode(node)
        }
    }

    /// Creates a ServiceAccount, or recreates it with a new UID, and returns the UID.
    @discardableResult
    package func createServiceAccount(
        namespace: String,
        name: String,
        annotations: [String: String] = [:],
        uid: String = UUID().uuidString.lowercased()
    ) -> String {
        storage.withLock { storage in
            storage.state.setServiceAccount(
                LabPod.Key(namespace, name),
                uid: uid,
                annotations: annotations,
                now: clock.now
            )
        }
        return uid
    }

    /// Sets an annotation of a ServiceAccount; `nil` removes it.
    package func annotate(namespace: String, serviceAccount: String, _ name: String, _ value: String?) {
        storage.withLock { $0.state.annotateServiceAccount(LabPod.Key(namespace, serviceAccount), name, value) }
    }

    /// Deletes a ServiceAccount. Its pods stay.
    package func deleteServiceAccount(namespace: String, name: String) {
        storage.withLock { $0.state.removeServiceAccount(LabPod.Key(namespace, name)) }
    }

    /// Creates a pod and returns its UID.
    ///
    /// `node: nil` leaves the pod unscheduled. `audiences` are those of projected ServiceAccount token volumes and of
    /// CSI drivers; `automount: false` means no default token volume. `staticConfigHash` makes this the mirror pod of
    /// a static pod, which has no ServiceAccount.
    @discardableResult
    package func createPod(
        namespace: String,
        name: String,
        serviceAccount: String = "default",
        node: String?,
        uid: String = UUID().uuidString.lowercased(),
        phase: String = "Running",
        podIP: String? = nil,
        hostNetwork: Bool = false,
        audiences: [String] = [],
        automount: Bool = true,
        labels: [String: String] = [:],
        staticConfigHash: String? = nil
    ) -> String {
        let mirror = staticConfigHash.map { hash in
            [
                "kubernetes.io/config.hash": hash, "kubernetes.io/config.mirror": hash,
                "kubernetes.io/config.source": "file",
            ]
        }
        let pod = LabPod(
            namespace: namespace,
            name: name,
            uid: uid,
            serviceAccountName: mirror == nil ? serviceAccount : "",
            nodeName: node,
            labels: labels,
            annotations: mirror ?? [:],
            isHostNetwork: hostNetwork,
            phase: phase,
            podIP: podIP,
            creationTimestamp: clock.now,
            automountsServiceAccountToken: automount && mirror == nil,
            volumeAudiences: audiences,
            resourceVersion: 0
        )
        storage.withLock { storage in
            storage.publish(storage.state.setPod(pod))
        }
        return uid
    }

    /// The pod's object, if it exists.
    package func pod(namespace: String, name: String) -> LabPod? {
        storage.withLock { $0.state.pods[LabPod.Key(namespace, name)] }
    }

    /// Changes a pod: phase, IP, labels, node. Does nothing if there is no such pod.
    package func updatePod(namespace: String, name: String, _ change: @Sendable (inout LabPod) -> Void) {
        storage.withLock { storage in
            guard var pod = storage.state.pods[LabPod.Key(namespace, name)] else { return }
            change(&pod)
            storage.publish(storage.state.setPod(pod))
        }
    }

    /// Deletes a pod. A forced deletion is complete; a graceful one waits for ``finishDeletion(namespace:name:)``.
    package func deletePod(namespace: String, name: String, _ deletion: Deletion = .graceful(seconds: 30)) {
        switch deletion {
        case .graceful(let seconds):
            let now = clock.now
            updatePod(namespace: namespace, name: name) { pod in
                pod.deletionTimestamp = now.addingTimeInterval(TimeInterval(seconds))
                pod.deletionGracePeriodSeconds = seconds
            }
        case .force:
            removePod(LabPod.Key(namespace, name))
        }
    }

    /// The kubelet's report when the containers are gone: one more change with a grace period of 0, then the end.
    package func finishDeletion(namespace: String, name: String) {
        updatePod(namespace: namespace, name: name) { $0.deletionGracePeriodSeconds = 0 }
        removePod(LabPod.Key(namespace, name))
    }

    /// Grants the verb `request-serviceaccounts-token-audience` on `audience` (`*`: all).
    ///
    /// `namespace` makes the rule a Role (`nil`: a ClusterRole), `serviceAccounts` are its `resourceNames` (`nil`:
    /// every ServiceAccount). `node` binds it to the user `system:node:NODE` (`nil`: the group `system:nodes`).
    package func allowAudience(
        _ audience: String,
        namespace: String? = nil,
        serviceAccounts: Set<String>? = nil,
        node: String? = nil
    ) {
        let rule = AudienceRule(
            audience: audience,
            namespace: namespace,
            serviceAccounts: serviceAccounts,
            nodeName: node
        )
        storage.withLock { $0.state.allow(rule) }
    }

    /// Takes back everything that was granted on `audience`; `nil`: on all.
    package func revokeAudience(_ audience: String? = nil) {
        storage.withLock { storage in
            storage.state.revokeAudiences { audience == nil || $0.audience == audience }
        }
    }

    private func removePod(_ key: LabPod.Key) {
        storage.withLock { storage in
            guard let change = storage.state.removePod(key) else { return }
            storage.publish(change)
        }
    }
}
