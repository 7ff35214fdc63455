import AgentTesting
import Foundation
import Lab
import Testing

/// Lines that operators type: those that are printed for them must work, and those that cannot work must say why.
@Suite(.serialized, .timeLimit(.minutes(10)))
struct CommandLineTests {
    @Test(
        "every line that a kept demo prints for operators reaches its agent",
        arguments: [CgroupLayout.standard, .nested])
    func keptDemo(layout: CgroupLayout) async throws {
        try await withWorld(layout: layout) { world in
            world.addServiceAccount("app")
            let agent = try await world.startAgent()
            _ = try await world.addPod("web-1", serviceAccount: "app")
            let demo = Demo(world: world) { _ in }
            try await demo.askOnce()
            let lines = demo.operatorLines(agent: agent)
            #expect(lines.count == 4)
            for line in lines {
                let result = try await Command.run(["sh", "-c", line])
                #expect(result.succeeded && result.errorOutput.isEmpty, "\(line): \(result)")
                guard line.contains("'top'") || line.contains(" top ") else { continue }
                #expect(result.output.contains(", 1 pod, ") && result.output.contains("web-1"), "\(result)")
            }
            await agent.stop()
        }
    }

    @Test(
        "a value of the environment that the lab does not know ends it with a sentence",
        arguments: [
            (
                "PODIDENTD_LAB_LAYOUT", "nested-2",
                "is one of cgroupfs, systemd, nested, nested-systemd, nested-3, nested-3-systemd"
            ),
            ("PODIDENTD_LAB_PATIENCE", "0", "is a whole number above 0"),
            ("PODIDENTD_LAB_PORT", "http", "is a whole number above 0"),
        ])
    func environment(name: String, value: String, words: String) async throws {
        let lab = try Binaries.directory() + "/podidentd-lab"
        let result = try await Command.run([lab, "demo"], environment: [name: value])
        #expect(result.status == 64)
        #expect(result.errorOutput == "\(name) \(words), and not '\(value)'.\n")
    }

    @Test("a command line that cannot work is refused with what is wrong and what to do")
    func refusals() async throws {
        try await withWorld { world in
            func run(_ arguments: [String], _ variables: [String] = []) async throws -> CommandResult {
                try await Command.run(
                    world.node.processCommand + ["env"] + variables + [world.binaries + "/podidentd"] + arguments)
            }
            for command in ["explain", "cgroups", "top", "bundle"] {
                let result = try await run([command, "--output", "json"])
                #expect(result.status == 64)
                #expect(
                    result.errorOutput
                        == "Error: '\(command)' is one of the debug commands: podidentd debug \(command) --output json\n"
                )
            }
            for (file, words) in [
                ("/dev/null", "is a device, and a regular file is wanted"), ("/tmp", "is a directory, and"),
                ("/nowhere", "does not exist"),
            ] {
                for command in [["run"], ["check"], ["debug", "status"], ["debug", "cgroups"], ["guard", "rules"]] {
                    let result = try await run(command + ["--config", file])
                    #expect(result.status != 0)
                    #expect(result.errorOutput.contains("--config \(file) \(words)"), "\(command): \(result)")
                }
            }
            let long = "/" + String(repeating: "a", count: 199)
            for command in [["debug", "status"], ["debug", "cgroups"], ["debug", "top"]] {
                let result = try await run(command + ["--socket", long])
                #expect(result.status != 0)
                #expect(result.errorOutput.contains("has 200 bytes, and the kernel takes 107"), "\(result)")
            }
            let nothing = world.pinDirectory + "/nothing"
            let result = try await run(
                ["debug", "cgroups", "--watch", "--socket", world.node.directory + "/none.sock"],
                ["PODIDENTD_BPF_PIN_DIRECTORY=\(nothing)", "PODIDENTD_CGROUP_KUBEPODS=\(world.node.kubepods)"])
            #expect(result.status == 1)
            let sentence = "nothing is pinned at \(nothing): podidentd is not installed on this node."
            #expect(result.errorOutput.contains("There is nothing to watch: " + sentence), "\(result)")
        }
    }
}
