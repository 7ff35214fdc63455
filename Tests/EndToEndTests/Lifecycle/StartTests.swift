import AgentTesting
import Foundation
import Lab
import Testing

/// An operator who configured something wrong sees this: one sentence, a status that is not 0, nothing attached.
@Suite(.serialized, .timeLimit(.minutes(10)))
struct StartTests {
    struct Mistake: CustomTestStringConvertible, Sendable {
        var name: String
        var changes: [String: String?]
        var words: [String]
        var testDescription: String { name }
    }

    @Test(
        "a mistake is named in one sentence, and nothing is attached",
        arguments: [
            Mistake(name: "unknown key", changes: ["listen.prot": "1"], words: ["listen.prot", "listen.port"]),
            Mistake(
                name: "port without seven below", changes: ["listen.port": "7"], words: ["listen.port", "8 to 65535"]),
            Mistake(
                name: "key of an earlier version", changes: ["listen.address": "10.0.0.1"],
                words: ["listen.address", "no longer a configuration key", "remove it"]),
            Mistake(
                name: "no cgroup v2", changes: ["cgroup.mount-point": "/proc"], words: ["/proc", "cgroup.mount-point"]),
            Mistake(
                name: "no kubepods cgroup", changes: ["cgroup.kubepods": "/nowhere/kubepods"],
                words: ["/nowhere/kubepods", "cgroup.kubepods"]),
            Mistake(
                name: "no BPF file system", changes: ["bpf.pin-directory": "/run/podidentd-pins"],
                words: ["/run/podidentd-pins", "mount -t bpf"]),
            Mistake(
                name: "missing required key", changes: ["google.provider": String?.none], words: ["google.provider"]),
        ]
    )
    func mistakes(_ mistake: Mistake) async throws {
        try await withWorld { world in
            let result = try await world.launchAgent(mistake.changes).result()
            let error = result.errorOutput.split(separator: "\n").filter { $0.hasPrefix("Error:") }
            #expect(result.status != 0)
            #expect(error.count == 1, "\(result.errorOutput)")
            for word in mistake.words { #expect(error.first?.contains(word) == true, "\(result.errorOutput)") }
            #expect(!FileManager.default.fileExists(atPath: world.pinDirectory))
            #expect(!FileManager.default.fileExists(atPath: "/run/podidentd-pins"))
        }
    }

    @Test(
        "a mistake that leaves the hooks possible is named in one sentence, and pods are refused from then on",
        arguments: [
            Mistake(
                name: "missing kubeconfig", changes: ["kubernetes.kubeconfig": "/nowhere/kubelet.conf"],
                words: ["/nowhere/kubelet.conf"]),
            Mistake(
                name: "missing CA file", changes: ["google.ca-file": "/nowhere/ca.pem"], words: ["/nowhere/ca.pem"]),
        ]
    )
    func closedMistakes(_ mistake: Mistake) async throws {
        try await withWorld { world in
            let pods = [try await world.addPod("a"), try await world.addPod("b", isHostNetwork: true)]
            for pod in pods { #expect(try await pod.run("curl", "-s", "http://169.254.169.254/").succeeded) }
            let result = try await world.launchAgent(mistake.changes).result()
            let error = result.errorOutput.split(separator: "\n").filter { $0.hasPrefix("Error:") }
            #expect(result.status != 0)
            #expect(error.count == 1, "\(result.errorOutput)")
            for word in mistake.words { #expect(error.first?.contains(word) == true, "\(result.errorOutput)") }
            #expect(result.errorOutput.contains("hooks attached: pods are refused"))
            let contacts = world.cluster.trap?.contacts.total
            for pod in pods { #expect(try await pod.run("curl", "-s", "http://169.254.169.254/").status == 7) }
            #expect(world.cluster.trap?.contacts.total == contacts)
            // An installation that was a mistake altogether is uninstalled.
            try await Command.require(world.uninstallCommand)
            for pod in pods { #expect(try await pod.run("curl", "-s", "http://169.254.169.254/").succeeded) }
        }
    }

    @Test("without the right to use BPF the agent says which rights it needs, and leaves nothing behind")
    func noRights() async throws {
        try await withWorld { world in
            let agent = try world.launchAgent(
                [:],
                prefix: [
                    "setpriv", "--bounding-set", "-all,+net_admin,+dac_override,+dac_read_search", "--inh-caps", "-all",
                ])
            let result = await agent.result()
            let errors = result.errorOutput.split(separator: "\n").filter { $0.hasPrefix("Error:") }
            #expect(result.status != 0)
            #expect(errors.count == 1 && errors[0].contains("CAP_BPF"), "\(result.errorOutput)")
            #expect(!FileManager.default.fileExists(atPath: world.pinDirectory))
        }
    }
}
