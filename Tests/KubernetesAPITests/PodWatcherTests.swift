import Attribution
import Foundation
import Synchronization
import Testing
import UpstreamTesting

@testable import KubernetesAPI

/// A pod API that answers one after the other what a test has laid out, and remembers nothing.
private final class PodAPI: Sendable {
    private let replies: Mutex<(lists: [ScriptedReply], watches: [ScriptedReply])>

    init(lists: [ScriptedReply], watches: [ScriptedReply]) {
        replies = Mutex((lists, watches))
    }

    /// The last reply of each kind is given again and again.
    func reply(to request: ScriptedRequest) -> ScriptedReply {
        replies.withLock { replies in
            if request.query.contains("watch=true") {
                return replies.watches.count > 1 ? replies.watches.removeFirst() : replies.watches[0]
            }
            return replies.lists.count > 1 ? replies.lists.removeFirst() : replies.lists[0]
        }
    }
}

/// The events of the watcher.
private final class Events: Sendable {
    private let storage = Mutex<[PodEvent]>([])
    var all: [PodEvent] { storage.withLock { $0 } }
    func append(_ event: PodEvent) { storage.withLock { $0.append(event) } }
}

@Suite("Pod watcher")
struct PodWatcherTests {
    /// Runs a watcher until `body` returns.
    private func watch(
        lists: [ScriptedReply],
        watches: [ScriptedReply],
        silence: Duration = .seconds(90),
        misses: AsyncStream<Void> = AsyncStream { $0.finish() },
        policies: PolicyTable = .attributeAll,
        body: @escaping @Sendable (PodWatcher, Events, ScriptedServer) async throws -> Void
    ) async throws {
        let api = PodAPI(lists: lists, watches: watches)
        try await KubernetesFixture.run(silence: silence) {
            api.reply(to: $0)
        } body: { client, server, _ in
            let events = Events()
            var options = PodWatcher.Options()
            options.shortestPause = .milliseconds(5)
            options.longestPause = .milliseconds(20)
            options.missInterval = .milliseconds(50)
            let watcher = PodWatcher(
                client: client,
                nodeName: "node-a",
                misses: misses,
                policies: policies,
                options: options,
                logger: quietLogger,
                sink: { events.append($0) }
            )
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { await watcher.run() }
                try await body(watcher, events, server)
                group.cancelAll()
            }
        }
    }

    private func list(_ version: Int, _ uids: String..., next: String = "") -> ScriptedReply {
        .answer(200, podList(version: version, uids.map { podObject($0) }, next: next))
    }

    /// The resource versions that watches were started from.
    private func starts(_ server: ScriptedServer) -> [String] {
        server.requests.filter { $0.query.contains("watch=true") }
            .compactMap { $0.query.first { $0.hasPrefix("resourceVersion=") }?.dropFirst(16) }.map(String.init)
    }

    @Test("One list, then a watch from there: in pages, with bookmarks and a bounded time")
    func wire() async throws {
        let (stream, feed) = ScriptedReply.openStream()
        try await watch(lists: [list(4, "a", next: "n e&xt"), list(4, "b")], watches: [stream]) {
            watcher, events, server in
            #expect(await eventually { watcher.status.isWatching })
            #expect(events.all == [.replaced([pod("a"), pod("b")])])
            let requests = server.requests
            #expect(requests[0].target == "/api/v1/pods?fieldSelector=spec.nodeName%3Dnode-a&limit=100")
            #expect(
                requests[1].target == "/api/v1/pods?fieldSelector=spec.nodeName%3Dnode-a&limit=100&continue=n%20e%26xt")
            let query = requests[2].query
            #expect(
                query.prefix(4) == [
                    "fieldSelector=spec.nodeName%3Dnode-a", "watch=true", "allowWatchBookmarks=true",
                    "resourceVersion=4",
                ])
            let seconds = try #require(query.last.flatMap { Int($0.dropFirst("timeoutSeconds=".count)) })
            #expect((240...420).contains(seconds))
            feed.yield(
                .text(
                    watchLine("ADDED", podObject("c", version: 5)) + "\n"
                        + watchLine("DELETED", podObject("a", version: 6))))
            feed.yield(.text("\n" + watchLine("DELETED", podObject("a", version: 6)) + "\n"))
            #expect(await eventually { events.all.count == 4 })
            #expect(events.all.dropFirst() == [.updated(pod("c")), .deleted(podUID("a")), .deleted(podUID("a"))])
            #expect(watcher.status.resourceVersion == "6")
            #expect(watcher.status.isFresh(within: .seconds(60)))
            #expect(!watcher.status.isFresh(within: .seconds(60), at: .now + .seconds(61)))
        }
    }

    @Test("A watch that ends resumes after the last event or bookmark, without a list")
    func resume() async throws {
        let (stream, _) = ScriptedReply.openStream()
        let first = ScriptedReply.lines(
            watchLine("ADDED", podObject("b", version: 5)),
            watchLine("BOOKMARK", #"{"metadata":{"resourceVersion":"9"}}"#)
        )
        try await watch(lists: [list(4, "a")], watches: [first, stream]) { watcher, events, server in
            #expect(await eventually { starts(server) == ["4", "9"] })
            #expect(watcher.status.lists == 1)
            #expect(events.all == [.replaced([pod("a")]), .updated(pod("b"))])
        }
    }

    @Test("A line that is cut at the end of the stream is dropped, and asked for again")
    func cutLine() async throws {
        let (cut, feed) = ScriptedReply.openStream()
        feed.yield(.text(watchLine("ADDED", podObject("b", version: 5)) + "\n" + #"{"type":"ADDED","object":{"meta"#))
        feed.yield(.cut)
        let rest = ScriptedReply.lines(watchLine("ADDED", podObject("c", version: 6)))
        let (stream, _) = ScriptedReply.openStream()
        try await watch(lists: [list(4)], watches: [cut, rest, stream]) { watcher, events, server in
            #expect(await eventually { starts(server) == ["4", "5", "6"] })
            #expect(events.all == [.replaced([]), .updated(pod("b")), .updated(pod("c"))])
            #expect(watcher.status.lists == 1)
        }
    }

    @Test(
        "What a resource version can no longer give is listed",
        arguments: [
            ScriptedReply.lines(
                watchLine("ERROR", statusBody(410, "too old resource version: 1 (486)", reason: "Expired"))),
            .answer(410, statusBody(410, "too old", reason: "Expired")),
            .lines(watchLine("ERROR", statusBody(500, "etcd"))),
            .lines("no json at all"),
            .answer(403, statusBody(403, "no")),
        ]
    )
    func relist(reply: ScriptedReply) async throws {
        let (stream, _) = ScriptedReply.openStream()
        try await watch(lists: [list(4, "a", "b"), list(8, "b")], watches: [reply, stream]) { watcher, events, server in
            #expect(await eventually { starts(server) == ["4", "8"] })
            #expect(events.all == [.replaced([pod("a"), pod("b")]), .replaced([pod("b")])])
            #expect(watcher.status.lists == 2)
            #expect(watcher.status.lastError != nil)
        }
    }

    @Test("A watch that is silent for too long counts as dead")
    func silence() async throws {
        let (silent, _) = ScriptedReply.openStream()
        try await watch(lists: [list(99_999), list(8)], watches: [silent], silence: .seconds(1)) {
            watcher, _, server in
            #expect(await eventually { starts(server).prefix(2) == ["99999", "8"] })
            #expect(watcher.status.lastError == "silent for too long")
        }
    }

    @Test("A server that is away is asked until it is back")
    func outage() async throws {
        let (stream, _) = ScriptedReply.openStream()
        let lists = [ScriptedReply.close, .close, .answer(503, "down"), .answer(200, "not json"), list(4, "a")]
        try await watch(lists: lists, watches: [.answer(503, "down"), .close, .close, stream]) { watcher, events, _ in
            #expect(await eventually { watcher.status.isWatching })
            #expect(events.all.first == .replaced([pod("a")]))
            #expect(watcher.status.isSynced)
        }
    }

    @Test("Many misses make one list, and what it says comes after what the watch said")
    func misses() async throws {
        let (first, feed) = ScriptedReply.openStream()
        let (second, secondFeed) = ScriptedReply.openStream()
        let (misses, miss) = AsyncStream<Void>.makeStream()
        try await watch(lists: [list(4), list(7, "b", "c")], watches: [first, second], misses: misses) {
            watcher, events, server in
            #expect(await eventually { watcher.status.isWatching })
            feed.yield(.text(watchLine("ADDED", podObject("a", version: 5)) + "\n"))
            #expect(await eventually { events.all.count == 2 })
            for _ in 0..<100 { miss.yield() }
            #expect(await eventually { starts(server) == ["4", "7"] })
            // The old watch is over: what it still says is not heard.
            feed.yield(.text(watchLine("ADDED", podObject("old", version: 6)) + "\n"))
            secondFeed.yield(.text(watchLine("DELETED", podObject("b", version: 8)) + "\n"))
            #expect(await eventually { events.all.last == .deleted(podUID("b")) })
            let told: [PodEvent] = [
                .replaced([]), .updated(pod("a")), .replaced([pod("b"), pod("c")]), .deleted(podUID("b")),
            ]
            #expect(events.all.filter { $0 != .replaced([pod("b"), pod("c")]) } == told.filter { $0 != told[2] })
            #expect(watcher.status.missLists >= 1)
            #expect(watcher.status.missLists <= 3)
        }
    }

    private static func labelled(_ uid: String) -> String {
        podObject(uid, extra: #","labels":{"app":"a","tier":"x"}"#)
    }

    private static func table(_ policy: PodPolicy, _ selector: String) throws -> PolicyTable {
        PolicyTable([PolicyRule(policy, labels: try LabelSelector(selector))])
    }

    private static func pods(_ policy: PodPolicy, _ uids: String...) -> [PodRecord] {
        uids.map { uid in
            var record = pod(uid)
            record.policy = policy
            return record
        }
    }

    @Test("Rules decide about what is listed and watched, and new ones after one more list")
    func policies() async throws {
        let (first, feed) = ScriptedReply.openStream()
        let (second, _) = ScriptedReply.openStream()
        let lists = [[Self.labelled("a")], [Self.labelled("a"), Self.labelled("b")]].map {
            ScriptedReply.answer(200, podList(version: 4, $0))
        }
        try await watch(lists: lists, watches: [first, second], policies: try Self.table(.deny, "app=a")) {
            watcher, events, _ in
            #expect(await eventually { watcher.status.isWatching })
            feed.yield(.text(watchLine("ADDED", Self.labelled("b")) + "\n"))
            #expect(await eventually { events.all.count == 2 })
            #expect(events.all == [.replaced(Self.pods(.deny, "a")), .updated(Self.pods(.deny, "b")[0])])
            // The label that the new rule looks at was not read before.
            watcher.replacePolicies(try Self.table(.passthrough, "tier=x"))
            #expect(await eventually { events.all.count == 3 })
            #expect(events.all.last == .replaced(Self.pods(.passthrough, "a", "b")))
        }
    }

    @Test("Objects without a name are counted, and the rest of the list is used")
    func unusableItems() async throws {
        let (stream, _) = ScriptedReply.openStream()
        let body = podList(version: 4, [podObject("a"), "{}", #"{"metadata":{"uid":7}}"#])
        try await watch(lists: [.answer(200, body)], watches: [stream]) { watcher, events, _ in
            #expect(await eventually { watcher.status.isSynced })
            #expect(events.all == [.replaced([pod("a")])])
            #expect(watcher.status.skippedObjects == 2)
        }
    }

    @Test("A list whose pages are gone begins again")
    func lostPages() async throws {
        let (stream, _) = ScriptedReply.openStream()
        let lists = [
            list(4, "a", next: "x"), .answer(410, statusBody(410, "expired")), list(5, "a", next: "y"), list(5, "b"),
        ]
        try await watch(lists: lists, watches: [stream]) { watcher, events, _ in
            #expect(await eventually { watcher.status.isWatching })
            #expect(events.all == [.replaced([pod("a"), pod("b")])])
        }
    }

    @Test("A raised signal waits, counts once, and survives a waiter that is cancelled")
    func signal() async {
        let signal = MissSignal()
        signal.raise()
        signal.raise()
        #expect(await signal.wait())
        let waiter = Task { await signal.wait() }
        waiter.cancel()
        #expect(await waiter.value == false)
        signal.raise()
        #expect(await signal.wait())
        signal.raise()
        signal.clear()
        async let waits = signal.wait()
        signal.raise()
        #expect(await waits)
    }
}
