import Attribution
import NIOCore
import Testing

@testable import KubernetesAPI

@Suite("Watch events")
struct WatchEventTests {
    private func event(_ line: String, labels: Set<String> = []) -> WatchEvent? {
        var reader = PodWatchReader(nodeName: "node-a", labels: labels)
        var events: [WatchEvent] = []
        _ = reader.read(ByteBuffer(string: line)) { events.append($0) }
        return events.first
    }

    @Test("Pods are read with everything that matters")
    func pods() {
        let plain = ObservedPod(record: pod("u1"))
        #expect(event(watchLine("ADDED", podObject("u1", version: 4))) == .updated(plain, resourceVersion: "4"))
        var expected = ObservedPod(record: pod("u1"), isMirror: true)
        expected.record.isTerminating = true
        expected.record.phase = .succeeded
        expected.record.staticPodConfigHash = "abc"
        let extra =
            #","deletionTimestamp":"2026-11-21T00:00:00Z","annotations":{"kubernetes.io/config.mirror":"abc","kubernetes.io/config.hash":"abc"}"#
        let line = watchLine("MODIFIED", podObject("u1", version: 4, extra: extra, phase: "Succeeded"))
        #expect(event(line) == .updated(expected, resourceVersion: "4"))
    }

    @Test("Of a pod's labels those are read that were asked for")
    func labels() {
        let line = watchLine("ADDED", podObject("u1", extra: #","labels":{"app":"a","tier":"b"}"#))
        for keys: Set<String> in [[], ["app"], ["other"]] {
            let expected = ObservedPod(record: pod("u1"), labels: keys.contains("app") ? ["app": "a"] : [:])
            #expect(event(line, labels: keys) == .updated(expected, resourceVersion: "1"))
        }
    }

    @Test("A mirror pod matches no rule that names a ServiceAccount")
    func mirror() {
        let table = PolicyTable([
            PolicyRule(.deny, serviceAccounts: [pod("u1").serviceAccountName]), PolicyRule(.passthrough),
        ])
        #expect(ObservedPod(record: pod("u1")).record(by: table).policy == .deny)
        #expect(ObservedPod(record: pod("u1"), isMirror: true).record(by: table).policy == .passthrough)
    }

    @Test("A config hash without the mark of a mirror pod means nothing")
    func forgedHash() {
        let extra = #","annotations":{"kubernetes.io/config.hash":"abc"}"#
        let plain = ObservedPod(record: pod("u1"))
        #expect(event(watchLine("ADDED", podObject("u1", extra: extra))) == .updated(plain, resourceVersion: "1"))
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
        #expect(event(watchLine("ADDED", odd)) == .updated(ObservedPod(record: expected), resourceVersion: nil))
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
