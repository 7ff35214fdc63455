import Attribution
import NIOCore
import Testing

@testable import KubernetesAPI

@Suite("Watch events")
struct WatchEventTests {
    private func event(_ line: String, policies: PolicyTable = .attributeAll) -> WatchEvent? {
        var reader = PodWatchReader(nodeName: "node-a", policies: policies)
        var events: [WatchEvent] = []
        _ = reader.read(ByteBuffer(string: line)) { events.append($0) }
        return events.first
    }

    @Test("Pods are read with everything that matters")
    func pods() {
        #expect(event(watchLine("ADDED", podObject("u1", version: 4))) == .updated(pod("u1"), resourceVersion: "4"))
        var expected = pod("u1")
        expected.isTerminating = true
        expected.phase = .succeeded
        expected.staticPodConfigHash = "abc"
        let extra =
            #","deletionTimestamp":"2026-11-21T00:00:00Z","annotations":{"kubernetes.io/config.mirror":"abc","kubernetes.io/config.hash":"abc"}"#
        let line = watchLine("MODIFIED", podObject("u1", version: 4, extra: extra, phase: "Succeeded"))
        #expect(event(line) == .updated(expected, resourceVersion: "4"))
    }

    @Test("What is left of a pod's labels is the policy that the rules give it")
    func policies() throws {
        let table = PolicyTable([PolicyRule(.deny, namespaces: ["team-a"], labels: try LabelSelector("app in (a, b)"))])
        var denied = pod("u1")
        denied.policy = .deny
        for (label, expected) in [("a", denied), ("c", pod("u1"))] {
            let line = watchLine("ADDED", podObject("u1", extra: #","labels":{"app":"\#(label)"}"#))
            #expect(event(line, policies: table) == .updated(expected, resourceVersion: "1"))
        }
    }

    @Test("A config hash without the mark of a mirror pod means nothing")
    func forgedHash() {
        let extra = #","annotations":{"kubernetes.io/config.hash":"abc"}"#
        #expect(event(watchLine("ADDED", podObject("u1", extra: extra))) == .updated(pod("u1"), resourceVersion: "1"))
    }

    @Test(
        "What cannot be used moves the watch on, and nothing else",
        arguments: [
            watchLine("ADDED", #"{"metadata":{"resourceVersion":"9","name":"p","namespace":"n"}}"#),
            watchLine("ADDED", #"{"metadata":{"resourceVersion":"9","uid":"\#(uidText("u"))","namespace":"n"}}"#),
            watchLine("DELETED", #"{"metadata":{"resourceVersion":"9"}}"#),
            watchLine(
                "RENAMED", #"{"metadata":{"resourceVersion":"9","uid":"\#(uidText("u"))","name":"p","namespace":"n"}}"#),
            watchLine(
                "ADDED",
                #"{"metadata":{"resourceVersion":"9","uid":"\#(uidText("u"))","name":"p","namespace":"n"},"spec":{"nodeName":"node-b"}}"#
            ),
        ]
    )
    func skipped(line: String) {
        #expect(event(line) == .skipped(resourceVersion: "9"))
    }

    @Test("Objects without fields, and fields of another type, spoil nothing")
    func tolerance() {
        #expect(event(#"{"type":"ADDED","object":{}}"#) == .skipped(resourceVersion: nil))
        #expect(event(#"{"type":"ADDED"}"#) == .skipped(resourceVersion: nil))
        let odd = #"{"metadata":{"uid":"\#(uidText("u"))","name":"p","namespace":"team-a"},"spec":7,"status":"odd"}"#
        let expected = PodRecord(
            uid: podUID("u"), namespace: "team-a", name: "p", serviceAccountName: "", phase: .pending
        )
        #expect(event(watchLine("ADDED", odd)) == .updated(expected, resourceVersion: nil))
    }

    @Test("Bookmarks, errors and garbage are told apart")
    func others() {
        let bookmark = #"{"kind":"Pod","metadata":{"resourceVersion":"542"},"spec":{"containers":null},"status":{}}"#
        #expect(event(watchLine("BOOKMARK", bookmark)) == .bookmark(resourceVersion: "542"))
        let gone = statusBody(410, "too old resource version: 1 (486)", reason: "Expired")
        #expect(event(watchLine("ERROR", gone)) == .failure(code: 410, message: "too old resource version: 1 (486)"))
        #expect(event(watchLine("ERROR", "{}")) == .failure(code: nil, message: "no message"))
        for line in ["null", "[]", "7", #"{"kind":"Status"}"#, #"{"type":7}"#] { #expect(event(line) == .malformed) }
        #expect(event(#"{"type":"ADD"#) == nil)
    }
}
