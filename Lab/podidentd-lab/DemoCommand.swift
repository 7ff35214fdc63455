import ArgumentParser
import Foundation
import Lab
import UnixSignals

struct DemoCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "demo",
        abstract: "Starts a node with pods, cluster, cloud and agent, and shows who gets what. Needs root."
    )

    @Flag(help: "Leaves everything running until Ctrl-C, and says how to enter a pod.")
    var keep = false

    @OptionGroup
    var layout: LayoutOption

    func run() async throws {
        // A terminal's Ctrl-C must not end the process before it has cleaned up.
        let signals = await UnixSignalsSequence(trapping: .sigint, .sigterm, .sighup)
        let isInterrupted = try await withThrowingTaskGroup(of: Bool.self) { group in
            group.addTask {
                for await _ in signals { return true }
                return false
            }
            group.addTask {
                try await show()
                return false
            }
            defer { group.cancelAll() }
            guard try await group.next() == true else { return false }
            print("\nInterrupted: cleaning up.")
            return true
        }
        print("\nCleaned up: no link, map, namespace, cgroup or mount of the demo is left.")
        // With --keep an interrupt is the end that was meant.
        if isInterrupted, !keep { throw ExitCode(130) }
    }

    private func show() async throws {
        try await LabWorld.with(keys: try LabCluster.Keys(), layout: layout.layout) { world in
            let demo = Demo(world: world) { print($0) }
            try await demo.run()
            if keep, !Task.isCancelled {
                let agent = try await world.startAgent()
                try await demo.askOnce()
                demo.printInstructions(agent: agent)
                try? await Task.sleep(for: .seconds(86_400 * 365))
                await agent.stop()
            }
        }
    }
}

struct CleanCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "clean", abstract: "Removes what labs that were killed have left behind."
    )

    func run() async throws {
        let removed = try await LabSweep.run()
        for identifier in removed { print("removed \(identifier)") }
        if removed.isEmpty { print("nothing is left of a lab whose process has ended") }
    }
}
