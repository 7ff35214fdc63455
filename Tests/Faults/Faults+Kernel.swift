import AgentTesting
import Foundation
import Lab
import Operations
import Testing

extension Fault {
    /// Faults of cgroups, hooks and maps under a running agent.
    static let kernel: [Fault] = [
        Fault(name: "kubepods cgroup removed and made again") { stage in
            let node = stage.world.node
            await stage.world.deletePod(try await stage.servedPod("before"))
            let kubepods = node.cgroupDirectory(node.kubepods)
            await CgroupTree.remove(kubepods)
            try await node.makeKubepods()
            let end = ContinuousClock.now
            let log = try await stage.logged("kubepods cgroup was made again")
            let new = try await stage.ask(try await stage.newPod("new"))
            #expect(new.outcome.answer?.status == 200, "\(stage.name): \(new.outcome.text)")
            return FaultRow(
                sees: new.outcome.text, answered: new.after, recovered: ContinuousClock.now - end, log: log,
                counter: try await stage.risen("incidents.kubepods_recreated"))
        },
        Fault(name: "bpffs unmounted under the agent, and mounted again") { stage in
            let node = stage.world.node
            let resident = try await stage.servedPod("resident")
            try await Command.require(["umount", "--lazy", node.bpfFileSystem])
            let log = try await stage.logged("BPF file system of bpf.pin-directory is gone")
            let new = try await stage.ask(try await stage.newPod("new"))
            #expect(new.outcome.answer?.status == 200, "\(stage.name): \(new.outcome.text)")
            #expect(try await stage.ask(resident).outcome.answer?.status == 200)
            try await Command.require(["mount", "-t", "bpf", "bpf", node.bpfFileSystem])
            let end = ContinuousClock.now
            _ = try await stage.logged("pinned again")
            let recovered = ContinuousClock.now - end
            let counter = try await stage.risen("incidents.pins_restored")
            // The pins are for this: no pod reaches the machine's own server when the agent has gone.
            await stage.agent.kill()
            guard case .failed(7) = try await stage.ask(resident).outcome else {
                throw LabError("the new pins do not hold the redirect")
            }
            try await stage.startNextAgent()
            #expect(try await stage.agent.status().hooks.values.allSatisfy { $0 == "adopted" })
            return FaultRow(
                sees: new.outcome.text, answered: new.after, recovered: recovered, log: log, counter: counter)
        },
        Fault(name: "other programs at the same hook, before and after ours") { stage in
            try await withStranger(stage) { addresses in
                let pod = try await stage.servedPod("new")
                for address in addresses {
                    let body = try await pod.run("curl", "-sS", "--max-time", "3", "http://\(address)/")
                    #expect(body.output == "a stranger", "\(stage.name): \(body.output) \(body.errorOutput)")
                }
                let answer = try await stage.ask(pod)
                #expect(answer.outcome.answer?.status == 200, "\(stage.name): \(answer.outcome.text)")
                return FaultRow(
                    sees: "\(answer.outcome.text), and what the others redirect", answered: answer.after,
                    recovered: .zero, log: try await stage.logged("programs of others are attached to the same hooks"),
                    counter: try await stage.risen("incidents.other_programs"))
            }
        },
        Fault(name: "ring buffer of cgroup events overflows while the agent is stopped") { stage in
            let node = stage.world.node
            let gone = try await stage.servedPod("gone")
            kill(stage.agent.processIdentifier, SIGSTOP)
            try await CgroupStorm.run(below: node.cgroupDirectory(node.kubepods), pairs: 6000)
            await stage.world.deletePod(gone)
            let pod = try await stage.newPod("new")
            kill(stage.agent.processIdentifier, SIGCONT)
            let end = ContinuousClock.now
            let log = try await stage.logged("cgroup events were lost")
            let recovered = ContinuousClock.now - end
            let answer = try await stage.ask(pod)
            #expect(answer.outcome.answer?.status == 200, "\(stage.name): \(answer.outcome.text)")
            let counter = try await stage.risen("kernel.cgroup_event_lost")
            _ = try await stage.risen("incidents.cgroup_events_lost")
            #expect(try await stage.agent.shows(pod.uid, notShowing: gone.uid), "\(stage.name): the index is stale")
            return FaultRow(
                sees: answer.outcome.text, answered: answer.after, recovered: recovered, log: log, counter: counter)
        },
        policies, listeners,
    ]

    private static let policies = Fault(
        name: "policy table full (ENOSPC)",
        launch: { _ in Launch(changes: ["policies": "[{policy: deny, labels: fault=denied}]"]) }
    ) { stage in
        let map = try FullMap(named: "nid_policies", of: stage.world)
        try map.fill()
        let pod = try await stage.newPod("new", labels: ["fault": "denied"])
        let log = try await stage.logged("policy not set")
        // The kernel does not know, so the agent itself refuses.
        let refused = try await stage.ask(pod)
        #expect(refused.outcome.answer?.status == 403, "\(stage.name): \(refused.outcome.text)")
        let counter = try await stage.risen("requests.answers.access_token.403")
        try map.empty()
        // Any event of the pod is an occasion to try again.
        let kubernetes = stage.world.cluster.kubernetes
        kubernetes.writeToWatches(try #require(kubernetes.event("MODIFIED", namespace: "default", name: "new")))
        let recovered = try await stage.ask(pod, within: FaultStage.deadline) {
            if case .failed(7) = $0 { true } else { false }
        }
        return FaultRow(
            sees: refused.outcome.text, answered: refused.after, recovered: recovered.after, log: log,
            counter: counter)
    }

    /// Not so hostNetwork pods, whose listener has been in the table since the start.
    private static let listeners = Fault(name: "listener table full (ENOSPC)") { stage in
        let world = stage.world
        let resident = try await world.addPod("resident", serviceAccount: "app")
        _ = try await stage.ask(resident, within: FaultStage.deadline) { $0.answer?.status == 200 }
        let map = try FullMap(named: "nid_listeners", of: world)
        try map.fill()
        let pod = try await world.addPod("new", serviceAccount: "app")
        let refused = try await stage.ask(pod)
        guard case .failed(7) = refused.outcome else {
            throw LabError("a pod without a place in the table got: \(refused.outcome.text)")
        }
        let log = try await stage.logged("no listener in a pod's network namespace")
        let counter = try await stage.risen("incidents.namespace_failed")
        #expect(try await stage.ask(resident).outcome.answer?.status == 200)
        try map.empty()
        // The pod's next connection is the occasion to try again.
        let recovered = try await stage.ask(pod, within: FaultStage.deadline) { $0.answer?.status == 200 }
        return FaultRow(
            sees: refused.outcome.text, answered: refused.after, recovered: recovered.after, log: log,
            counter: counter)
    }
}
