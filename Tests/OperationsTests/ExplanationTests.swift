import Attribution
import Operations
import Testing
import Tokens

@Suite struct ExplanationTests {
    @Test("the cause is the first stage that fails, with its fix below it")
    func cause() {
        let explanation = Explanation(
            node: "n", pod: "shop/web-1", uid: "u",
            stages: [
                .init("pod", .ok, "Running"), .init("cgroup", .failed, "none", remedy: "look at\nthe kubelet"),
                .init("mint", .failed, "no"),
            ])
        #expect(explanation.cause?.name == "cgroup")
        #expect(
            explanation.text() == """
                shop/web-1 on node n, UID u

                  ok       pod     Running
                  FAILED   cgroup  none
                                fix: look at
                                     the kubelet
                  FAILED   mint    no

                shop/web-1 gets no identity: cgroup

                """, "\(explanation.text())")
    }

    @Test("a token's row says what it is for and how it fares, never what it is")
    func tokens() throws {
        let uid = try #require(PodUID("34c94737-fd9b-4688-9caf-14636a9d6a94"))
        let failure = UpstreamFailure(upstream: .iamCredentials, kind: .denied, status: 403, message: "no binding")
        let dump = TokenDump(
            node: "n",
            entries: [
                TokenEntrySnapshot(
                    pod: uid, account: .init(namespace: "shop", name: "web"), target: .googleServiceAccount("a@b"),
                    kind: .accessToken(.default), state: "refreshing", age: .seconds(125), remaining: .seconds(-4),
                    waiters: 2, lastFailure: failure)
            ]
        ) { _ in nil }
        let lines = dump.table().split(separator: "\n")
        for words in [
            "a@b", "access", "cloud-platform,userinfo.email", "(2 wait)", "2m05s", "-4s", "iam 403 denied: no binding",
        ] {
            #expect(lines[1].contains(words), "\(lines[1])")
        }
        #expect(dump.filtered(by: CgroupFilter(namespace: "other")).entries.isEmpty)
    }
}
