import Agent
import Attribution
import Clouds
import Settings
import Testing

@Suite struct ConfigurationTests {
    private func load(
        _ yaml: String? = nil, _ environment: [String: String] = [:], set: [String] = []
    ) throws -> AgentConfiguration {
        try TestConfiguration.load(set, yaml: yaml, environment: environment)
    }

    @Test("the command line wins over the environment, the environment over the file, the file over the default")
    func precedence() throws {
        #expect(try load().listenPort == 988)
        #expect(try load("listen:\n  port: 2001\n").listenPort == 2001)
        #expect(try load("listen:\n  port: 2001\n", ["PODIDENTD_LISTEN_PORT": "2002"]).listenPort == 2002)
        #expect(try load("", ["PODIDENTD_LISTEN_PORT": "2002"], set: ["listen.port=2003"]).listenPort == 2003)
    }

    @Test(
        "a path that is too long for a Unix socket is refused with the kernel's limit, for each key that names one",
        arguments: [("admin.socket", "handover.sock"), ("spiffe.socket", ".1z141z3")])
    func socketPaths(key: String, other: String) throws {
        func words(_ path: String) throws -> String? {
            do {
                _ = try load(nil, set: ["\(key)=\(path)"])
                return nil
            } catch let error as ConfigurationError {
                return "\(error)"
            }
        }
        func path(_ bytes: Int, name: String) -> String {
            "/" + String(repeating: "d", count: bytes - name.utf8.count - 2) + "/" + name
        }
        let named = ConfigurationKey.all.filter { $0.name.hasSuffix("socket") }.map(\.name)
        #expect(named == ["admin.socket", "spiffe.socket"])
        #expect(try words(path(107, name: "a-name-longer-than-that-beside-it.sock")) == nil)
        #expect(try words(path(107, name: other)) == nil)
        let long = try #require(try words(path(200, name: "a.sock")))
        #expect(long.hasPrefix("\(key) (--set): the path has 200 bytes, and the kernel takes 107"))
        // Short enough itself.
        let beside = try #require(try words(path(107, name: "a")))
        #expect(beside.contains("/\(other)', which is bound as well, has more than the 107 bytes"))
        #expect(try words("run/a.sock")?.contains("'run/a.sock' is not an absolute path") == true)
    }

    @Test("a list may be written as YAML's or with commas")
    func lists() throws {
        let expected = ["169.254.169.254", "fd20:ce::254"]
        #expect(
            try load("redirect:\n  endpoints: [169.254.169.254, \"fd20:ce::254\"]").redirectEndpoints.map(\.text)
                == expected)
        #expect(
            try load(nil, set: ["redirect.endpoints=169.254.169.254,fd20:ce::254"]).redirectEndpoints.map(\.text)
                == expected)
    }

    @Test("no audience of pod tokens is the default; those that are set are kept to the byte")
    func podTokenAudiences() throws {
        #expect(try load().podTokenAudiences.isEmpty)
        #expect(
            try load("kubernetes:\n  pod-token-audiences: [https://vault.example, spire]").podTokenAudiences
                == ["https://vault.example", "spire"])
        #expect(try load(nil, set: ["kubernetes.pod-token-audiences=a, b"]).podTokenAudiences == ["a", "b"])
    }

    @Test("policies read the same as YAML, from the environment and from the command line")
    func policies() throws {
        #expect(try load().policies == .attributeAll)
        let expected = PolicyTable([
            PolicyRule(
                .passthrough, namespaces: ["infra"], serviceAccounts: ["node-agent"],
                labels: try LabelSelector("app=x,tier notin (y, z)")),
            PolicyRule(.deny, namespaces: ["kube-system", "kube-public"]),
        ])
        let yaml = """
            policies:
              - policy: passthrough
                namespace: infra
                service-account: node-agent
                labels: app=x,tier notin (y, z)
              - policy: deny
                namespace: [kube-system, kube-public]
            """
        #expect(try load(yaml).policies == expected)
        let text =
            "[{policy: passthrough, namespace: infra, service-account: node-agent, labels: \"app=x,tier notin (y, z)\"},"
            + " {policy: deny, namespace: [kube-system, kube-public]}]"
        #expect(try load(nil, ["PODIDENTD_POLICIES": text]).policies == expected)
        #expect(try load(nil, set: ["policies=\(text)"]).policies == expected)
        #expect(try load("policies: '\(text)'").policies == expected)
        #expect(try load("policies:\n").policies == .attributeAll)
    }

    @Test("what the Node object can say is unset unless it is configured")
    func instance() throws {
        let plain = try load()
        #expect(plain.zone == nil && plain.instanceID == nil && plain.clusterName == nil && plain.clusterUID == nil)
        #expect(try load("instance: {zone: z, id: 0}").instanceID == 0)
    }

    struct Refusal: CustomTestStringConvertible, Sendable {
        var yaml: String
        var words: [String]
        var testDescription: String { words.joined(separator: " / ") }
    }

    @Test(
        "what is not allowed is refused with its key and what is",
        arguments: [
            Refusal(yaml: "listen:\n  prot: 1\n", words: ["listen.prot", "agent.yaml", "listen.port"]),
            Refusal(yaml: "lisen: {port: 1}\n", words: ["lisen.port", "'podidentd config'"]),
            Refusal(yaml: "listen:\n  port: 65536\n", words: ["listen.port", "'65536'", "8 to 65535"]),
            Refusal(yaml: "listen:\n  port: -1\n", words: ["listen.port", "'-1'"]),
            Refusal(yaml: "listen:\n  port: 7\n", words: ["listen.port", "'7'", "8 to 65535"]),
            Refusal(
                yaml: "listen:\n  address: 10.0.0.1\n",
                words: ["listen.address (agent.yaml) is no longer a configuration key", "remove it", "operations.md"]),
            Refusal(yaml: "listen:\n  address6: fd00::1\n", words: ["listen.address6", "no longer", "remove it"]),
            Refusal(yaml: "redirect:\n  socket-mark: 1\n", words: ["redirect.socket-mark", "no longer", "mesh"]),
            Refusal(yaml: "redirect:\n  endpoints: metadata\n", words: ["redirect.endpoints", "IP addresses"]),
            Refusal(
                yaml: "kubernetes:\n  token-seconds: 3607\n", words: ["kubernetes.token-seconds", "other than 3607"]),
            Refusal(yaml: "google:\n  sts-url: http://sts\n", words: ["google.sts-url", "an https URL"]),
            Refusal(yaml: "admin:\n  socket: admin.sock\n", words: ["admin.socket", "an absolute path"]),
            Refusal(yaml: "log:\n  level: loud\n", words: ["log.level", "'loud'", "debug"]),
            Refusal(
                yaml: "kubernetes:\n  pod-token-audiences: [\"\(String(repeating: "a", count: 257))\"]\n",
                words: ["kubernetes.pod-token-audiences", "1 to 256"]),
            Refusal(
                yaml:
                    "kubernetes:\n  pod-token-audiences: [\(Array(repeating: "a", count: 17).joined(separator: ","))]\n",
                words: ["kubernetes.pod-token-audiences", "at most 16"]),
            Refusal(yaml: "policies: deny\n", words: ["policies", "agent.yaml", "a list of rules"]),
            Refusal(yaml: "policies: [\"{\"]\n", words: ["policies", "rule 1", "mapping"]),
            Refusal(
                yaml: "policies:\n- {policy: deny, namespace: a}\n- {policy: deny, namespaces: b}\n",
                words: ["policies", "rule 2", "'namespaces'", "namespace, service-account, labels"]),
            Refusal(yaml: "policies: [{policy: allow, namespace: a}]\n", words: ["'allow'", "attribute, passthrough"]),
            Refusal(yaml: "policies: [{namespace: a}]\n", words: ["policies", "rule 1", "policy ''"]),
            // A20: a tenant names his ServiceAccounts and labels his pods as he likes.
            Refusal(
                yaml: "policies: [{policy: deny, namespace: a}, {policy: passthrough, service-account: node-agent}]\n",
                words: ["policies", "rule 2", "passthrough must name a namespace", "namespace: NAME"]),
            Refusal(
                yaml: "policies: [{policy: passthrough, labels: app=x}]\n",
                words: ["rule 1", "passthrough must name a namespace"]),
            Refusal(yaml: "policies: [{policy: deny}]\n", words: ["policies", "rule 1", "every pod"]),
            Refusal(yaml: "policies: [{policy: deny, namespace: A_b}]\n", words: ["namespace 'A_b'"]),
            Refusal(yaml: "policies: [{policy: deny, namespace: []}]\n", words: ["namespace", "list of 1 to 64"]),
            Refusal(yaml: "policies: [{policy: deny, service-account: [{a: b}]}]\n", words: ["service-account"]),
            Refusal(yaml: "policies: [{policy: deny, labels: {a: b}}]\n", words: ["labels", "selector"]),
            Refusal(yaml: "policies: [{policy: deny, labels: \"a in b\"}]\n", words: ["labels", "'a in b'"]),
            Refusal(yaml: "policies: [{policy: deny, labels: ''}]\n", words: ["labels", "''"]),
            Refusal(
                yaml: "policies:" + String(repeating: "\n- {policy: deny, namespace: a}", count: 65),
                words: ["policies", "65 rules", "at most 64"]),
            Refusal(yaml: "pod-uid: web-0\n", words: ["pod-uid", "a pod's UID"]),
            Refusal(yaml: "instance:\n  id: gce-1\n", words: ["instance.id", "digits only"]),
            Refusal(yaml: "listen: [\n", words: ["agent.yaml", "not YAML"]),
            Refusal(yaml: "- 1\n", words: ["agent.yaml", "mapping"]),
            Refusal(yaml: "listen:\n  port: {a: 1}\n", words: ["listen.port.a"]),
        ]
    )
    func refusals(_ refusal: Refusal) throws {
        let error = try #require(throws: ConfigurationError.self) { try load(refusal.yaml) }
        for word in refusal.words { #expect(error.description.contains(word), "\(error)") }
        #expect(!error.description.contains("\n"))
    }

    @Test("a required key that is missing is named with both of its spellings")
    func missing() throws {
        let error = try #require(throws: ConfigurationError.self) {
            try ConfigurationLoader.load(file: nil, environment: [:], overrides: [])
        }
        #expect(error.description.contains("node-name") && error.description.contains("PODIDENTD_NODE_NAME"))
        #expect(error.description.contains("--set"))
        let nameless = try #require(throws: ConfigurationError.self) {
            try ConfigurationLoader.load(file: nil, environment: [:], overrides: ["=5"])
        }
        #expect(nameless.description.contains("--set takes key=value"))
    }

    @Test(
        "all keys that are missing are named at once, each with its spellings; a command that can do without gets them")
    func allMissing() throws {
        let error = try #require(throws: ConfigurationError.self) {
            try ConfigurationLoader.load(file: nil, environment: [:], overrides: [])
        }
        let required = ConfigurationKey.all.filter { $0.defaultValue == nil && !$0.isOptional }
        #expect(required.count > 3)
        for key in required {
            #expect(error.description.contains(key.name) && error.description.contains(key.environmentName))
        }
        let partial = try ConfigurationLoader.load(
            file: nil, environment: [:], overrides: ["node-name=a"], isComplete: false)
        #expect(partial.missing == required.map(\.name).filter { $0 != "node-name" })
        #expect(partial.nodeName == "a" && partial.listenPort == 988)
    }

    @Test("Google's keys are required where Google's protocol is served, and not where other clouds alone are")
    func withoutGoogle() throws {
        let node = ["PODIDENTD_NODE_NAME": "node-a"]
        for (clouds, names) in [("aws", ["aws"]), ("azure, aws", ["azure", "aws"]), ("azure", ["azure"])] {
            let configuration = try ConfigurationLoader.load(
                file: ("agent.yaml", "clouds: \(clouds)\n"), environment: node, overrides: [])
            #expect(!configuration.servesGoogle)
            #expect(Set(configuration.servedClouds.map { "\($0.name)" }) == Set(names))
            #expect(configuration.missing == [] && configuration.googleAudience == nil)
        }
        #expect(try load("clouds: aws, google\n").servesGoogle)
        for clouds in ["google", "google, aws", "aws, azure, google"] {
            let error = try #require(throws: ConfigurationError.self) {
                try ConfigurationLoader.load(file: nil, environment: node, overrides: ["clouds=\(clouds)"])
            }
            for key in ["google.provider", "google.project-id", "google.project-number"] {
                #expect(error.description.contains(key))
            }
        }
        for clouds in ["", "gcp", "aws, aws", "google, google", "aws, oracle", ","] {
            let error = try #require(throws: ConfigurationError.self) { try load(nil, set: ["clouds=\(clouds)"]) }
            #expect(error.description.contains("google, aws, azure"), "\(error)")
        }
    }

    @Test("the printed reference is a file that the loader accepts, and names every key")
    func reference() throws {
        let reference = ConfigurationKey.reference(of: ConfigurationKey.all)
        var (printed, defaults) = (try load(reference), try load())
        // Where each value is from differs.
        (printed.settings, defaults.settings) = ([], [])
        #expect(printed == defaults)
        for key in ConfigurationKey.all { #expect(reference.contains(key.environmentName)) }
    }
}
