import Foundation
import Synchronization

/// One address and one network namespace, which one short-lived pod after the other has.
package final class ChurnSlot: Sendable {
    package let visitor: PodClient
    package let tally: ResponseOracle
    private let pods = Mutex(0)
    private let name: String
    private let address: String
    private let containerID: String
    private let world: LabWorld

    package init(number: Int, home: RunningPod, visitor: PodClient, world: LabWorld) {
        name = "job-\(number)"
        address = home.address
        containerID = home.containerID
        self.visitor = visitor
        self.world = world
        tally = ResponseOracle(world)
    }

    package var lives: Int { pods.withLock { $0 } }

    /// The life of one pod, in one of the ways in which kubelets and controllers make it run.
    package func live(_ life: Int) async throws {
        pods.withLock { $0 += 1 }
        // The runtime's name for the container is used again, too.
        let pod = ShortLivedPod(containerID: containerID, on: world.node)
        switch life % 8 {
        case 0:
            // The kubelet knows the pod before the watch shows it.
            try pod.makeCgroups()
            async let first: Void = ask(pod)
            create(pod)
            try await first
            try end(pod)
        case 1:
            create(pod)
            try pod.makeCgroups()
            async let last: Void = ask(pod, as: .ownOrGone)
            delete()
            try await last
            try pod.removeCgroups()
        case 2:
            create(pod, labels: ["churn": "denied"])
            try pod.makeCgroups()
            try await ask(pod, as: .denied)
            try await ask(pod, as: .denied)
            try end(pod)
        case 3:
            // The kubelet makes the cgroups of the same pod again, at the same path.
            create(pod)
            for _ in 0..<2 {
                try pod.makeCgroups()
                try await ask(pod)
                try pod.removeCgroups()
            }
            delete()
        case 4:
            // A StatefulSet's next pod of this name and address is there while the old one still has processes.
            create(pod)
            try pod.makeCgroups()
            try await ask(pod)
            delete()
            let next = ShortLivedPod(containerID: containerID, on: world.node)
            create(next)
            try next.makeCgroups()
            try await ask(pod, as: .ownOrGone)
            try await ask(next)
            try pod.removeCgroups()
            try end(next)
        case 5:
            create(pod)
            try pod.makeCgroups()
            try await ask(pod)
            world.cluster.kubernetes.deletePod(namespace: "default", name: name, .graceful(seconds: 30))
            try await ask(pod)
            try pod.removeCgroups()
            world.cluster.kubernetes.finishDeletion(namespace: "default", name: name)
        default:
            create(pod)
            try pod.makeCgroups()
            try await ask(pod)
            try end(pod)
        }
    }

    private func create(_ pod: ShortLivedPod, labels: [String: String] = [:]) {
        world.cluster.kubernetes.createPod(
            namespace: "default", name: name, node: LabWorld.nodeName, uid: pod.uid, podIP: address, labels: labels)
    }

    private func delete() {
        world.cluster.kubernetes.deletePod(namespace: "default", name: name, .force)
    }

    private func end(_ pod: ShortLivedPod) throws {
        try pod.removeCgroups()
        delete()
    }

    private func ask(_ pod: ShortLivedPod, as expectation: ResponseOracle.Expectation = .own) async throws {
        let result = try await visitor.make(ClientRequest(processes: pod.processes, path: MetadataPath.token))
        tally.judge(result, of: pod.uid, as: expectation)
    }
}
