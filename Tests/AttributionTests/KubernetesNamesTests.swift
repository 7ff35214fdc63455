import Attribution
import Testing

@Suite struct KubernetesNamesTests {
    private static let long = String(repeating: "a", count: 63)

    @Test func `names of namespaces, ServiceAccounts and hosts, each as its standard has it`() {
        let labels = ["a", "a-1", "0", Self.long]
        let noLabels = ["", "-a", "a-", "A", "a.b", "a_b", "é", Self.long + "a", "a/b"]
        #expect((labels + noLabels).filter(\.isDNSLabel) == labels)

        let subdomains = ["a.b", "a-1.0", Self.long + "aaa", "a"]
        let noSubdomains = ["", ".", "a.", ".a", "a..b", "A.b", "a.-b", String(repeating: "ab.", count: 84) + "ab"]
        #expect((subdomains + noSubdomains).filter(\.isDNSSubdomain) == subdomains)

        let hosts = ["a", "A.example.ORG", "contoso.onmicrosoft.com", Self.long + ".org"]
        let noHosts = ["", "a.", "a..b", "-a.org", "a_b.org", Self.long + "a.org", "\u{212a}.org", "[::1]"]
        #expect((hosts + noHosts).filter(\.isHostName) == hosts)
    }

    @Test func `keys of labels and taints`() {
        let keys = ["a", "example.org/name", "example.org/A_b.c", "node-role.kubernetes.io/control-plane"]
        let others = [
            "", "/", "/a", "a/", "a/b/c", "Example.org/a", "a_b/c", "example.org/-a", "example.org/" + Self.long + "a",
        ]
        #expect((keys + others).filter(\.isQualifiedName) == keys)
    }
}
