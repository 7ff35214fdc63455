import Attribution
import Testing
import Tokens
import UpstreamTesting

@testable import KubernetesAPI

/// Objects that tenants can blow up: Go writes six bytes for one `<`.
@Suite("Large objects", .timeLimit(.minutes(10))) struct LargeObjectTests {
    /// A pod whose environment holds so many `<`, and as many other bytes as `padding` says.
    private static func large(_ uid: String, count: Int, padding: Int = 0) -> String {
        let value = String(repeating: "x", count: padding) + String(repeating: #"\u003c"#, count: count)
        return podObject(uid).replacing(
            #""containers":null"#, with: #""containers":[{"env":[{"value":"\#(value)"}]}]"#)
    }

    private static let most = large("b", count: 1_400_000)
    private static let tooLarge = large("b", count: 1_600_000)

    /// Pages of the pods `a`, large, large, `d`, cut by the `limit` that is asked for.
    private static func page(_ request: ScriptedRequest, of pods: [String]) -> ScriptedReply {
        func value(_ name: String) -> Int? {
            request.query.first { $0.hasPrefix("\(name)=") }.flatMap { Int($0.dropFirst(name.count + 1)) }
        }
        let start = value("continue") ?? 0
        let end = min(pods.count, start + (value("limit") ?? pods.count))
        return .answer(200, podList(version: 4, Array(pods[start..<end]), next: end < pods.count ? "\(end)" : ""))
    }

    @Test("Two pods of 8.4 MB: the page is asked for again with as many pods as did fit, and all are read")
    func pages() async throws {
        let pods = [podObject("a"), Self.most, Self.large("c", count: 1_400_000), podObject("d")]
        try await KubernetesFixture.run {
            Self.page($0, of: pods)
        } body: { client, server, _ in
            let list = try await client.listPods(nodeName: "node-a")
            #expect(list.pods.map(\.record) == [pod("a"), pod("b"), pod("c"), pod("d")])
            let limits = server.requests.compactMap { $0.query.first { $0.hasPrefix("limit=") } }
            #expect(limits == ["limit=100", "limit=1", "limit=1", "limit=1", "limit=1"])
        }
    }

    @Test("A pod beyond the API server's own limit is known and too large, and the others are listed")
    func tooLarge() async throws {
        // The second is cut off before its end.
        let cut = Self.large("c", count: 1_600_000, padding: 8 << 20)
        let pods = [podObject("a"), Self.tooLarge, cut, podObject("d")]
        try await KubernetesFixture.run {
            Self.page($0, of: pods)
        } body: { client, _, _ in
            let list = try await client.listPods(nodeName: "node-a")
            #expect(list.pods.map(\.record.uid) == ["a", "b", "c", "d"].map(podUID))
            #expect(list.pods.map(\.record.isTooLarge) == [false, true, true, false])
            #expect(list.pods[2].record.namespace == "team-a" && list.pods[2].record.name == "p" && list.skipped == 0)
        }
    }

    @Test("Large pods in a watch: read, or known as too large with one line in the log, and the watch goes on")
    func watch() async throws {
        let lines = LogLines()
        let (stream, feed) = ScriptedReply.openStream()
        try await KubernetesFixture.run(logger: lines.logger) { request in
            request.query.contains("watch=true") ? stream : .answer(200, podList(version: 4, []))
        } body: { client, server, _ in
            let (events, sink) = AsyncStream<PodEvent>.makeStream()
            let watcher = PodWatcher(
                client: client, nodeName: "node-a", misses: AsyncStream { $0.finish() }, logger: lines.logger
            ) { sink.yield($0) }
            let task = Task { await watcher.run() }
            defer { task.cancel() }
            for object in [Self.most, Self.tooLarge, Self.tooLarge, podObject("a", version: 9)] {
                feed.yield(.text(watchLine("MODIFIED", object) + "\n"))
            }
            var received: [PodEvent] = []
            for await event in events {
                received.append(event)
                if received.count == 5 { break }
            }
            var large = pod("b")
            large.isTooLarge = true
            #expect(
                received == [.replaced([]), .updated(pod("b")), .updated(large), .updated(large), .updated(pod("a"))])
            #expect(watcher.status.tooLargeObjects == 2 && watcher.status.brokenWatches.isEmpty)
            #expect(lines.all.count { $0.hasPrefix("pod object too large to be read") } == 1)
            #expect(server.requests.count == 2)
        }
    }

    @Test("A pod with 600 levels of managed fields, which tenants write, spoils no list")
    func deepFields() async throws {
        let deep = String(repeating: #"{"f:x":"#, count: 600) + "{}" + String(repeating: "}", count: 600)
        let object = podObject("a", extra: #","managedFields":[{"fieldsV1":\#(deep)}]"#)
        try await KubernetesFixture.run { _ in
            .answer(200, podList(version: 4, [object, podObject("b")]))
        } body: { client, _, _ in
            let list = try await client.listPods(nodeName: "node-a")
            #expect(list.pods.map(\.record) == [pod("a"), pod("b")])
        }
    }

    @Test("A ServiceAccount and a Node are read whatever else was written into them")
    func others() async throws {
        let padding = #""annotations":{"x/y":"\#(String(repeating: #"\u003c"#, count: 262_144))","#
        try await KubernetesFixture.run { request in
            request.target.contains("/nodes/")
                ? .answer(200, #"{"metadata":{"name":"node-a","uid":"n1",\#(padding)"podidentd.io/zone":"z"}}}"#)
                : .answer(
                    200,
                    #"{"metadata":{"name":"app","namespace":"team-a","uid":"u",\#(padding)"#
                        + #""iam.gke.io/gcp-service-account":"g@p.iam"}},"secrets":[{}]}"#)
        } body: { client, _, _ in
            let reference = ServiceAccountReference(namespace: "team-a", name: "app")
            let account = try await client.serviceAccount(reference)
            #expect(account.googleServiceAccount == "g@p.iam")
            let node = try await client.node("node-a")
            #expect(node == NodeRecord(uid: "n1", annotations: ["podidentd.io/zone": "z"]))
        }
    }

    @Test("The page size is halved to what did fit, down to one, and doubled again")
    func pageSize() {
        var size = PodPageSize()
        #expect(size.value == 100)
        size.halve()
        #expect(size.value == 50)
        size.halve(to: 5)
        #expect(size.value == 3)
        size.halve(to: 0)
        #expect(size.value == 1)
        size.halve()
        #expect(size.value == 1)
        for expected in [2, 4, 8, 16, 32, 64, 100, 100] {
            size.grow()
            #expect(size.value == expected)
        }
    }
}
