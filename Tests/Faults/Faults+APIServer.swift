import AgentTesting
import Foundation
import Lab
import Testing

extension Fault {
    /// Faults that API servers do to the agent's calls and watch.
    static let apiServer: [Fault] = [
        Fault(
            name: "API server restarts, 403 'no relationship' for 0.7 s",
            configure: { $0.kubernetes.relationshipDelay = .milliseconds(700) }
        ) { stage in
            let resident = try await stage.servedPod("resident")
            stage.world.cluster.kubernetes.restart()
            let new = try await stage.ask(try await stage.newPod("new"))
            #expect(new.outcome.answer?.status == 200, "\(stage.name): \(new.outcome.text)")
            #expect(try await stage.ask(resident).outcome.answer?.status == 200)
            return FaultRow(
                sees: new.outcome.text, answered: new.after, recovered: .zero,
                log: try await stage.logged("does not know this node's pods yet"),
                counter: try await stage.risen("incidents.kubernetes.no_relationship"))
        },
        watch("watch hangs silently", log: "listing pods", counter: "incidents.pods.listed_for_a_miss") { kubernetes in
            kubernetes.silenceWatches()
        },
        watch(
            "watch closed in the middle of an object", log: "pod watch ended",
            counter: "incidents.pods.watch_disconnected"
        ) { kubernetes in
            kubernetes.cutWatches()
        },
        watch("watch ends with 410", log: "pod watch ended", counter: "incidents.pods.watch_expired") { kubernetes in
            kubernetes.writeToWatches(
                #"{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","#
                    + #""message":"too old resource version: 1 (486)","reason":"Expired","code":410}}"#)
        },
        watch("watch sends what is no event", log: "pod watch ended", counter: "incidents.pods.watch_broken") {
            $0.writeToWatches("<html>Bad Gateway</html>")
        },
        Fault(name: "watch events unknown, without a UID, and twice") { stage in
            let kubernetes = stage.world.cluster.kubernetes
            let resident = try await stage.servedPod("resident")
            for type in ["RENAMED", "ADDED", "ADDED", "MODIFIED"] {
                let event = kubernetes.event(type, namespace: "default", name: "resident")
                kubernetes.writeToWatches(try #require(event))
            }
            kubernetes.writeToWatches(#"{"type":"ADDED","object":{"kind":"Pod","metadata":{"name":"nobody"}}}"#)
            let counter = try await stage.risen("incidents.pods.skipped")
            let answer = try await stage.ask(resident)
            #expect(answer.outcome.answer?.status == 200, "\(stage.name): \(answer.outcome.text)")
            #expect(try await stage.ask(try await stage.newPod("new")).outcome.answer?.status == 200)
            return FaultRow(
                sees: answer.outcome.text, answered: answer.after, recovered: .zero,
                log: try await stage.logged("watch event without a usable pod"), counter: counter)
        },
        Fault(name: "watch events out of order: a pod's old state after its end") { stage in
            let kubernetes = stage.world.cluster.kubernetes
            let pod = try await stage.servedPod("deleted")
            let old = try #require(
                kubernetes.event("MODIFIED", namespace: "default", name: "deleted", resourceVersion: 1))
            kubernetes.deletePod(namespace: "default", name: "deleted", .force)
            kubernetes.writeToWatches(old)
            // A later event of the same watch: from here on the agent has read the others.
            let marker = try await stage.servedPod("marker")
            let answer = try await stage.ask(pod)
            #expect(answer.outcome.answer?.status == 403, "\(stage.name): \(answer.outcome.text)")
            #expect(try await stage.ask(marker).outcome.answer?.status == 200)
            return FaultRow(
                sees: answer.outcome.text, answered: answer.after, recovered: .zero,
                log: try await stage.logged("the pod watch reported a pod as it was before its end"),
                counter: try await stage.risen("incidents.outdated_pod_event"))
        },
        Fault(name: "a pod's deletion missed across a relist") { stage in
            let kubernetes = stage.world.cluster.kubernetes
            let pod = try await stage.servedPod("deleted")
            kubernetes.silenceWatches()
            kubernetes.deletePod(namespace: "default", name: "deleted", .force)
            kubernetes.compact()
            // A pod that the watch has not shown: the agent lists.
            let new = try await stage.ask(try await stage.newPod("new"))
            #expect(new.outcome.answer?.status == 200, "\(stage.name): \(new.outcome.text)")
            let answer = try await stage.ask(pod)
            // A list alone is no proof of a pod's end: it may be older than the pod.
            let status = answer.outcome.answer?.status ?? 0
            #expect(status == 403 || status == 503, "\(stage.name): \(answer.outcome.text)")
            return FaultRow(
                sees: "as the deleted one, \(answer.outcome.text)", answered: answer.after, recovered: .zero,
                log: try await stage.logged("listing pods"),
                counter: try await stage.risen("incidents.pods.listed_for_a_miss"))
        },
        Fault(name: "node's certificate rotated") { stage in
            let resident = try await stage.servedPod("resident")
            try await stage.world.rotateNodeCertificate(
                stage.agent, notAfter: Date(timeIntervalSinceNow: 86_400))
            let new = try await stage.ask(try await stage.newPod("new"))
            #expect(new.outcome.answer?.status == 200, "\(stage.name): \(new.outcome.text)")
            #expect(try await stage.ask(resident).outcome.answer?.status == 200)
            return FaultRow(
                sees: new.outcome.text, answered: new.after, recovered: .zero,
                log: try await stage.logged("node credentials reloaded"),
                counter: try await stage.risen("incidents.kubernetes.credentials_reloaded"))
        },
    ]

    /// A fault of the watch that is open: cached tokens and new pods are served, and the next watch shows new pods.
    private static func watch(
        _ name: String, log: String,
        counter: String,
        _ begin: @escaping @Sendable (KubernetesEmulator) -> Void
    ) -> Fault {
        Fault(name: name) { stage in
            let kubernetes = stage.world.cluster.kubernetes
            let resident = try await stage.servedPod("resident")
            let watches = kubernetes.watchesOpened.total
            begin(kubernetes)
            let new = try await stage.ask(try await stage.newPod("new"))
            #expect(new.outcome.answer?.status == 200, "\(name): \(new.outcome.text)")
            #expect(try await stage.ask(resident).outcome.answer?.status == 200, "\(name)")
            let end = ContinuousClock.now
            try await kubernetes.watchesOpened.wait(within: FaultStage.deadline) { _ in
                kubernetes.watchesOpened.total > watches
            }
            return FaultRow(
                sees: new.outcome.text, answered: new.after, recovered: ContinuousClock.now - end,
                log: try await stage.logged(log), counter: try await stage.risen(counter))
        }
    }
}
