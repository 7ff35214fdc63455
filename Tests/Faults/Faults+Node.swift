import AgentTesting
import Foundation
import Lab
import Testing

extension Fault {
    /// Faults of the agent's own process and of the node's resources.
    static let node: [Fault] = [
        clock("clock set 1 h forward", seconds: 3600),
        clock("clock set 1 h back", seconds: -3600),
        stop, descriptors, memory, disk, auditDisk,
    ]

    /// The agent's clock is set while it runs, by a library between it and the kernel.
    private static func clock(_ name: String, seconds: Int64) -> Fault {
        Fault(
            name: name,
            launch: { world in Launch(prefix: try await ProcessClock(in: world.node.directory).prefix) }
        ) { stage in
            let clock = ProcessClock(startedIn: stage.world.node.directory)
            let resident = try await stage.servedPod("resident")
            try clock.step(to: seconds)
            let log = try await stage.logged("clock was set")
            let cached = try await stage.ask(resident)
            let new = try await stage.ask(try await stage.newPod("new"))
            for (outcome, _) in [cached, new] {
                let answer = try #require(outcome.answer, "\(name): \(outcome.text)")
                let token = try #require(answer.token, "\(name): \(outcome.text)")
                let left = try stage.world.owner(of: answer).expires.timeIntervalSinceNow
                #expect(abs(left - Double(token.expiresIn)) < 10, "\(name): \(token.expiresIn) s, in truth \(left)")
            }
            let lifetime = new.outcome.answer?.token?.expiresIn ?? 0
            try clock.step(to: 0)
            let recovered = try await stage.recovery(try await stage.newPod("after"))
            return FaultRow(
                sees: "\(new.outcome.text), \(lifetime) s left, which is true", answered: new.after,
                recovered: recovered, log: log, counter: try await stage.risen("incidents.clock_stepped"))
        }
    }

    /// Seconds for which the agent is stopped: as many as prove the point, or those of the environment.
    private static let stopSeconds = LabEnvironment.number("PODIDENTD_STOP_SECONDS", usual: 5)

    private static let stop = Fault(name: "agent stopped (SIGSTOP)", detail: "for \(stopSeconds) s") { stage in
        let resident = try await stage.servedPod("resident")
        kill(stage.agent.processIdentifier, SIGSTOP)
        let start = ContinuousClock.now
        let patient = try stage.begin(resident, patience: 120)
        var impatient = try await stage.ask(resident)
        // The client's patience is what time passes by.
        while ContinuousClock.now - start < .seconds(stopSeconds) { impatient = try await stage.ask(resident) }
        kill(stage.agent.processIdentifier, SIGCONT)
        let end = ContinuousClock.now
        let result = await patient.result()
        let recovered = ContinuousClock.now - end
        #expect(result.succeeded, "\(stage.name): \(result.errorOutput)")
        _ = try stage.judged(MetadataResponse(curl: result.output), resident)
        guard case .failed(28) = impatient.outcome else { throw LabError("a stopped agent answered") }
        return FaultRow(
            sees: "\(impatient.outcome.text); a patient one its own token", answered: impatient.after,
            recovered: recovered, log: try await stage.logged("did not run for a while"),
            counter: try await stage.risen("incidents.stalled"))
    }

    private static let descriptors = Fault(name: "no descriptors left (EMFILE)") { stage in
        let resident = try await stage.servedPod("resident")
        _ = try await stage.agent.settledDescriptors()
        let process = stage.agent.processIdentifier
        let used = try FileManager.default.contentsOfDirectory(atPath: "/proc/\(process)/fd").compactMap { Int($0) }
        let free = (0...used.count).first { !used.contains($0) } ?? used.count
        let before = try await Command.require([
            "prlimit", "--pid", "\(process)", "--nofile", "--noheadings", "-o", "SOFT",
        ])
        try await limitDescriptors(of: process, to: "\(free)")
        let patient = try stage.begin(resident, patience: 30)
        let log = try await stage.logged("cannot be accepted")
        let impatient = try await stage.ask(resident, patience: 1)
        try await limitDescriptors(of: process, to: before.trimmingCharacters(in: .whitespacesAndNewlines))
        let end = ContinuousClock.now
        let result = await patient.result()
        let recovered = ContinuousClock.now - end
        #expect(result.succeeded, "\(stage.name): \(result.errorOutput)")
        _ = try stage.judged(MetadataResponse(curl: result.output), resident)
        // Two listeners that try once a second, not an event loop that spins.
        #expect(try await stage.rise(of: "incidents.accept_failed") < 100, "\(stage.name)")
        return FaultRow(
            sees: "\(impatient.outcome.text); a patient one its own token", answered: impatient.after,
            recovered: recovered, log: log, counter: try await stage.risen("incidents.accept_failed"))
    }

    private static func limitDescriptors(of process: Int32, to limit: String) async throws {
        try await Command.require(["prlimit", "--pid", "\(process)", "--nofile=\(limit):"])
    }

    /// As much as one pod can make the agent hold, under a limit as the DaemonSet has it.
    private static let memory = Fault(
        name: "memory limit 128 MiB, a pod with 600 connections and 64 KiB headers",
        launch: { world in
            let limit = try MemoryLimit(bytes: 128 << 20, name: world.node.identifier)
            return Launch(prefix: limit.prefix, cleanUp: { limit.remove() })
        }
    ) { stage in
        let limit = try MemoryLimit(bytes: 128 << 20, name: stage.world.node.identifier)
        let resident = try await stage.servedPod("resident")
        let hostile = try await stage.newPod("hostile")
        let load = try hostile.attack(
            ["load", "headers", LabNode.metadataAddress, "80", "600", "3"], as: .unprivileged)
        var answers: [Duration] = []
        repeat {
            let (outcome, duration) = try await stage.ask(resident)
            #expect(outcome.answer?.status == 200, "\(stage.name): \(outcome.text)")
            answers.append(duration)
        } while load.isRunning
        #expect(await load.result().succeeded)
        let peak = try limit.peakBytes() >> 20
        let recovered = try await stage.recovery(resident)
        return FaultRow(
            sees: "its own token \(answers.count) times; peak \(peak) MiB (\(limit.mechanism))",
            answered: answers.max(), recovered: recovered,
            log: nil, counter: try await stage.risen("requests.answers.unrouted.431"))
    }

    private static let disk = Fault(
        name: "disk full: no room for the admin socket",
        launch: { world in
            let disk = try await SmallFileSystem(at: world.node.directory + "/small", files: 1)
            try disk.fill()
            return Launch(changes: ["admin.socket": disk.path + "/admin.sock"], cleanUp: { await disk.remove() })
        }
    ) { stage in
        let pod = try await stage.newPod("new")
        let answer = try await stage.ask(pod)
        #expect(answer.outcome.answer?.status == 200, "\(stage.name): \(answer.outcome.text)")
        #expect((try? await stage.agent.status()) == nil, "\(stage.name): there is room")
        let directory = stage.world.node.directory + "/small"
        for name in try FileManager.default.contentsOfDirectory(atPath: directory) {
            try FileManager.default.removeItem(atPath: "\(directory)/\(name)")
        }
        let end = ContinuousClock.now
        _ = try await stage.logged("the admin socket is served")
        let recovered = ContinuousClock.now - end
        let log = stage.agent.log.events.first { $0.contains("no admin socket") }
        return FaultRow(
            sees: answer.outcome.text, answered: answer.after, recovered: recovered,
            log: try #require(log).components(separatedBy: "] ").last,
            counter: try await stage.risen("incidents.admin_socket_failed"))
    }

    private static let auditDisk = Fault(
        name: "disk full: no room for audit lines",
        launch: { world in
            let disk = try await SmallFileSystem(at: world.node.directory + "/small", files: 1)
            try Data().write(to: URL(fileURLWithPath: disk.path + "/audit.log"))
            try disk.fill()
            return Launch(changes: ["audit.path": disk.path + "/audit.log"], cleanUp: { await disk.remove() })
        }
    ) { stage in
        let first = try await stage.newPod("first")
        let answer = try await stage.ask(first)
        #expect(answer.outcome.answer?.status == 200, "\(stage.name): \(answer.outcome.text)")
        let log = try await stage.logged("audit lines are being lost")
        let counter = try await stage.risen("incidents.audit.lines_lost")
        let directory = stage.world.node.directory + "/small"
        for name in try FileManager.default.contentsOfDirectory(atPath: directory) where name != "audit.log" {
            try FileManager.default.removeItem(atPath: "\(directory)/\(name)")
        }
        let second = try await stage.newPod("second")
        let recovered = try await stage.recovery(second)
        _ = try await stage.logged("audit lines are written again")
        let written = try String(contentsOfFile: directory + "/audit.log", encoding: .utf8)
        #expect(written.contains(second.uid) && written.contains("\"lost\""), "\(stage.name): \(written)")
        return FaultRow(
            sees: answer.outcome.text, answered: answer.after, recovered: recovered, log: log, counter: counter)
    }
}
