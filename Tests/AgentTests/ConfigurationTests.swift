import Agent
import Testing

@Suite struct ConfigurationTests {
    private static let required = [
        "PODIDENTD_NODE_NAME": "node-a", "PODIDENTD_LISTEN_ADDRESS": "10.0.0.1",
        "PODIDENTD_GOOGLE_PROVIDER":
            "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/k",
        "PODIDENTD_GOOGLE_PROJECT_ID": "p", "PODIDENTD_GOOGLE_PROJECT_NUMBER": "1",
    ]

    private func load(
        _ yaml: String? = nil, _ environment: [String: String] = [:], set: [String] = []
    ) throws -> AgentConfiguration {
        try ConfigurationLoader.load(
            file: yaml.map { ("agent.yaml", $0) },
            environment: Self.required.merging(environment) { $1 }, overrides: set
        )
    }

    @Test("the command line wins over the environment, the environment over the file, the file over the default")
    func precedence() throws {
        #expect(try load().listenPort == 9254)
        #expect(try load("listen:\n  port: 1001\n").listenPort == 1001)
        #expect(try load("listen:\n  port: 1001\n", ["PODIDENTD_LISTEN_PORT": "1002"]).listenPort == 1002)
        #expect(try load("", ["PODIDENTD_LISTEN_PORT": "1002"], set: ["listen.port=1003"]).listenPort == 1003)
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
            Refusal(yaml: "listen:\n  port: 65536\n", words: ["listen.port", "'65536'", "1 to 65535"]),
            Refusal(yaml: "listen:\n  port: -1\n", words: ["listen.port", "'-1'"]),
            Refusal(yaml: "listen:\n  address6: 10.0.0.1\n", words: ["listen.address6", "an IPv6 address"]),
            Refusal(yaml: "redirect:\n  endpoints: metadata\n", words: ["redirect.endpoints", "IP addresses"]),
            Refusal(
                yaml: "kubernetes:\n  token-seconds: 3607\n", words: ["kubernetes.token-seconds", "other than 3607"]),
            Refusal(yaml: "google:\n  sts-url: http://sts\n", words: ["google.sts-url", "an https URL"]),
            Refusal(yaml: "admin:\n  socket: admin.sock\n", words: ["admin.socket", "an absolute path"]),
            Refusal(yaml: "log:\n  level: loud\n", words: ["log.level", "'loud'", "debug"]),
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
    }

    @Test("the printed reference is a file that the loader accepts, and names every key")
    func reference() throws {
        let reference = ConfigurationKey.reference()
        #expect(try load(reference) == load())
        for key in ConfigurationKey.all { #expect(reference.contains(key.environmentName)) }
    }
}
