import Attribution
import Testing

@Suite struct PolicyTableTests {
    private func policy(
        _ table: PolicyTable, namespace: String = "n", account: String = "s", labels: [String: String] = [:]
    ) -> PodPolicy {
        table.policy(namespace: namespace, serviceAccount: account, labels: labels)
    }

    @Test("a pod that no rule matches is attributed")
    func fallback() {
        #expect(policy(.attributeAll) == .attribute)
        #expect(policy(PolicyTable([PolicyRule(.deny, namespaces: ["other"])])) == .attribute)
    }

    @Test("the first rule that matches decides")
    func order() {
        let table = PolicyTable([
            PolicyRule(.attribute, namespaces: ["n"], serviceAccounts: ["special"]),
            PolicyRule(.deny, namespaces: ["n", "m"]), PolicyRule(.passthrough, serviceAccounts: ["s"]),
        ])
        #expect(policy(table, account: "special") == .attribute)
        #expect(policy(table) == .deny)
        #expect(policy(table, namespace: "m") == .deny)
        #expect(policy(table, namespace: "x") == .passthrough)
        #expect(table.names(.passthrough) && !PolicyTable([PolicyRule(.deny)]).names(.passthrough))
    }

    @Test("every criterion of a rule must match")
    func criteria() throws {
        let labels = try LabelSelector("app=x")
        let table = PolicyTable([
            PolicyRule(.passthrough, namespaces: ["n"], serviceAccounts: ["s"], labels: labels)
        ])
        #expect(policy(table, labels: ["app": "x"]) == .passthrough)
        #expect(policy(table, namespace: "m", labels: ["app": "x"]) == .attribute)
        #expect(policy(table, account: "t", labels: ["app": "x"]) == .attribute)
        #expect(policy(table, account: "", labels: ["app": "x"]) == .attribute)
        #expect(policy(table, labels: ["app": "y"]) == .attribute)
    }
}
