import Foundation
import Testing

@testable import Lab

@Suite(.timeLimit(.minutes(10))) struct PodWatchTests {
    private static let pods = "/api/v1/pods?fieldSelector=spec.nodeName=node-a"

    /// The watch's first `count` lines.
    private func summaries(_ reader: WatchReader, _ count: Int) async throws -> [String] {
        try await reader.lines.wait { $0.count >= count }.map(WatchReader.summary)
    }

    @Test func listItemsCarryNoTypeAndPagesContinue() async throws {
        let api = try TestAPI()
        let first = await api.send("GET", "\(Self.pods)&limit=3").json
        #expect(first["kind"]?.string == "PodList")
        #expect(first["items"]?.array?.first?["kind"] == nil)
        #expect(first["items"]?.array?.count == 3)
        #expect(first["metadata"]?["remainingItemCount"]?.integer == 1)
        let token = try #require(first["metadata"]?["continue"]?.string)
        api.emulator.compact()
        let second = await api.send("GET", "\(Self.pods)&limit=3&continue=\(token)").json
        #expect(second["items"]?.array?.count == 1)
        #expect(second["metadata"]?["continue"] == nil)
    }

    @Test func tellsTheLifeOfAPod() async throws {
        let api = try TestAPI()
        let reader = WatchReader()
        let version = api.emulator.resourceVersion
        try await reader.run(api, "\(Self.pods)&watch=true&resourceVersion=\(version)") {
            api.emulator.createPod(namespace: "x", name: "late", node: nil, phase: "Pending")
            api.emulator.createPod(namespace: "x", name: "elsewhere", node: "node-b")
            api.emulator.updatePod(namespace: "x", name: "late") { $0.nodeName = "node-a" }
            api.emulator.updatePod(namespace: "x", name: "late") { $0.podIP = "10.0.0.9" }
            api.emulator.deletePod(namespace: "x", name: "late")
            api.emulator.finishDeletion(namespace: "x", name: "late")
            let lines = try await summaries(reader, 5)
            #expect(lines == ["ADDED late", "MODIFIED late", "MODIFIED late", "MODIFIED late", "DELETED late"])
        }
        let terminating = try JSON(parsing: reader.lines.events[2].utf8)
        #expect(terminating["object"]?["metadata"]?["deletionGracePeriodSeconds"]?.integer == 30)
        #expect(terminating["object"]?["kind"]?.string == "Pod")
        #expect(api.emulator.openWatches == 0)
    }

    @Test(arguments: ["", "&resourceVersion=0"])
    func withoutAVersionEverythingComesFirst(query: String) async throws {
        let api = try TestAPI()
        let reader = WatchReader()
        try await reader.run(api, "\(Self.pods)&watch=true\(query)") {
            let lines = try await summaries(reader, 4)
            #expect(lines == ["ADDED app-a", "ADDED noauto-a", "ADDED other-a", "ADDED app-b"])
        }
    }

    @Test func resumesWithoutLossAndWithoutRepetition() async throws {
        let api = try TestAPI()
        let reader = WatchReader()
        let version = api.emulator.resourceVersion
        api.emulator.createPod(namespace: "x", name: "one", node: "node-a")
        try await reader.run(api, "\(Self.pods)&watch=true&resourceVersion=\(version)") {
            _ = try await summaries(reader, 1)
            api.emulator.createPod(namespace: "x", name: "two", node: "node-a")
            let lines = try await summaries(reader, 2)
            #expect(lines == ["ADDED one", "ADDED two"])
        }
    }

    @Test func aTooOldVersionIsAnErrorLineAndTheEnd() async throws {
        let api = try TestAPI()
        api.emulator.compact()
        let now = api.emulator.resourceVersion
        let reader = WatchReader()
        try await reader.run(api, "\(Self.pods)&watch=true&resourceVersion=1") {
            let lines = try await reader.lines.wait { $0.last == "EOF" }
            #expect(
                lines.first == #"{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","metadata":{},"#
                    + #""status":"Failure","message":"too old resource version: 1 (\#(now))","#
                    + #""reason":"Expired","code":410}}"#
            )
        }
        let list = await api.send("GET", "\(Self.pods)&resourceVersion=1&resourceVersionMatch=Exact")
        #expect(list.status == 410)
        #expect(list.message == "The resourceVersion for the provided list is too old.")
        #expect(list.json["reason"]?.string == "Expired")
    }

    @Test func exactListsShowThePast() async throws {
        let api = try TestAPI()
        let version = api.emulator.resourceVersion
        api.emulator.deletePod(namespace: "team-a", name: "app-a", .force)
        api.emulator.createPod(namespace: "x", name: "new", node: "node-a")
        let past = await api.send("GET", "\(Self.pods)&resourceVersion=\(version)&resourceVersionMatch=Exact").json
        let names = past["items"]?.array?.compactMap { $0["metadata"]?["name"]?.string }
        #expect(names == ["app-a", "noauto-a", "other-a", "app-b"])
    }

    @Test func listsFromTheFutureTimeOutAndNonsenseIsAnError() async throws {
        let api = try TestAPI()
        let future = await api.send("GET", "\(Self.pods)&resourceVersion=99999999&resourceVersionMatch=NotOlderThan")
        #expect(future.status == 504)
        #expect(future.headers["Retry-After"] == "1")
        #expect(
            future.message == "Timeout: Too large resource version: 99999999, current: \(api.emulator.resourceVersion)"
        )
        #expect(await api.send("GET", "\(Self.pods)&resourceVersion=abc").status == 500)
    }

    @Test func aWatchFromTheFutureStaysSilent() async throws {
        let api = try TestAPI { $0.bookmarkInterval = .milliseconds(10) }
        let reader = WatchReader()
        let target = "\(Self.pods)&watch=true&resourceVersion=99999999&allowWatchBookmarks=true&timeoutSeconds=1"
        try await reader.run(api, target) {
            api.emulator.createPod(namespace: "x", name: "unheard", node: "node-a")
            let lines = try await reader.lines.wait { $0.last == "EOF" }
            #expect(lines == ["EOF"])
        }
    }

    @Test func bookmarksComeOnlyWhenAllowed() async throws {
        let api = try TestAPI { $0.bookmarkInterval = .milliseconds(20) }
        let version = api.emulator.resourceVersion
        let reader = WatchReader()
        try await reader.run(api, "\(Self.pods)&watch=true&resourceVersion=\(version)&allowWatchBookmarks=true") {
            let lines = try await reader.lines.wait { $0.count >= 2 }
            #expect(
                lines[0] == #"{"type":"BOOKMARK","object":{"kind":"Pod","apiVersion":"v1","metadata":"#
                    + #"{"resourceVersion":"\#(version)"},"spec":{"containers":null},"status":{}}}"#
            )
        }
        let silent = WatchReader()
        try await silent.run(api, "\(Self.pods)&watch=true&resourceVersion=\(version)&timeoutSeconds=1") {
            let lines = try await silent.lines.wait { $0.last == "EOF" }
            #expect(lines == ["EOF"])
        }
    }

    @Test(arguments: [(2, [2.0]), (10, [7.7, 9.0, 10.0]), (65, [60.0, 62.7, 64.0, 65.0])])
    func bookmarksPrecedeTheEndOfLongWatches(timeout: Int, moments: [Double]) throws {
        let selector = try #require(PodSelector(namespace: nil, fieldSelector: nil, labelSelector: nil))
        let request = LabRequest(method: "GET", target: "/?timeoutSeconds=\(timeout)&allowWatchBookmarks=true")
        let waits = try PodWatch(request, selector: selector).schedule(bookmarkInterval: .seconds(60))
        var elapsed = Duration.zero
        let actual = waits.map { wait in
            elapsed += wait
            return elapsed
        }
        #expect(actual == moments.map { .milliseconds(Int($0 * 1000)) })
    }

    @Test func streamingListsMarkTheEndOfTheInitialEvents() async throws {
        let api = try TestAPI()
        let reader = WatchReader()
        let options = "&watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
        try await reader.run(api, Self.pods + options) {
            let lines = try await reader.lines.wait { $0.count >= 5 }
            #expect(lines[4].contains(#""annotations":{"k8s.io/initial-events-end":"true"}"#))
        }
        let refused = await api.send("GET", "\(Self.pods)&watch=true&sendInitialEvents=true")
        #expect(refused.status == 422)
        #expect(
            refused.message == "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: "
                + "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        )
    }

    @Test func aRestartEndsWatchesAndForgetsTheirVersions() async throws {
        let api = try TestAPI()
        let version = api.emulator.resourceVersion
        let reader = WatchReader()
        try await reader.run(api, "\(Self.pods)&watch=true&resourceVersion=\(version)") {
            api.emulator.createPod(namespace: "x", name: "one", node: "node-a")
            _ = try await summaries(reader, 1)
            api.emulator.restart()
            let lines = try await summaries(reader, 2)
            #expect(lines == ["ADDED one", "EOF"])
        }
        let again = WatchReader()
        try await again.run(api, "\(Self.pods)&watch=true&resourceVersion=\(version)") {
            let lines = try await summaries(again, 2)
            #expect(lines == ["ERROR", "EOF"])
        }
    }

    @Test func eventsCanBeLate() async throws {
        let api = try TestAPI()
        api.emulator.setWatchDelay(.milliseconds(150))
        let reader = WatchReader()
        try await reader.run(api, "\(Self.pods)&watch=true&resourceVersion=\(api.emulator.resourceVersion)") {
            // The watch must be open before the pod appears: what it starts with is not late.
            try await api.emulator.watchesOpened.wait { $0.count == 1 }
            let start = ContinuousClock.now
            api.emulator.createPod(namespace: "x", name: "late", node: "node-a")
            let lines = try await summaries(reader, 1)
            #expect(lines == ["ADDED late"])
            #expect(ContinuousClock.now - start >= .milliseconds(150))
        }
    }
}
