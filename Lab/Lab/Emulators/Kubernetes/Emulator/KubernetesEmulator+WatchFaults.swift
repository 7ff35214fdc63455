import Synchronization

/// Faults of watches, by API servers and by proxies between them and a node.
extension KubernetesEmulator {
    /// All watches that are open now hang: no event, no bookmark, no end. Later ones are as usual.
    package func silenceWatches() {
        storage.withLock { storage in
            storage.silenced.merge(storage.watches) { $1 }
            storage.watches = [:]
        }
    }

    /// Ends all open watches in the middle of an object.
    package func cutWatches() {
        storage.withLock { storage in
            for watch in storage.watches.values { watch.yield(.cut) }
        }
    }

    /// Writes `line` to all open watches, in its turn.
    package func writeToWatches(_ line: String) {
        storage.withLock { storage in
            for watch in storage.watches.values { watch.yield(.text(line + "\n")) }
        }
    }

    /// An event of `type` with a pod as it is now, with another resourceVersion if one is given.
    package func event(
        _ type: String, namespace: String, name: String, resourceVersion: UInt64? = nil
    ) -> String? {
        guard var pod = storage.withLock({ $0.state.pods[LabPod.Key(namespace, name)] }) else { return nil }
        if let resourceVersion { pod.resourceVersion = resourceVersion }
        let event: JSON = ["type": .string(type), "object": pod.json(withTypeMeta: true)]
        return event.text
    }
}
