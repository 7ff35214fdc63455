import Foundation
import NIOCore
import Synchronization

extension KubernetesEmulator.Storage {
    /// Tells all open watches of a change. A watch that cannot keep up is ended, as the API server ends it.
    mutating func publish(_ change: ClusterState.Change) {
        let notBefore = ContinuousClock.now + watchDelay
        for watch in watches.values {
            if case .dropped = watch.yield(.change(change, notBefore: notBefore)) {
                watch.finish()
            }
        }
    }
}

/// Lists and watches of pods.
extension KubernetesEmulator {
    /// Changes that may wait for a slow client before its watch is ended.
    private static let watchBacklog = 4096

    /// `PodList`, with paging and the resourceVersion rules.
    func list(_ request: LabRequest, selector: PodSelector) throws(KubernetesStatus) -> JSON {
        let version = try request.resourceVersion
        let state = storage.withLock { $0.state }
        var pods = state.pods
        var listed = state.resourceVersion
        if let version, version > state.resourceVersion { throw Self.tooLarge(version, state.resourceVersion) }
        if let version, request.query("resourceVersionMatch") == "Exact" {
            guard version >= state.compacted, version >= state.oldestWatchable else {
                throw .expired("The resourceVersion for the provided list is too old.")
            }
            pods = state.pods(at: version)
            listed = version
        }
        var matching = pods.values.filter(selector.matches).sorted { $0.key < $1.key }
        if let start = request.query("continue").flatMap(ContinueToken.init(parsing:)) {
            // Pages after a compaction are still served, from the cache.
            matching.removeAll { $0.key <= start.after }
            listed = start.resourceVersion
        }
        let limit = request.query("limit").flatMap(Int.init) ?? 0
        let page = limit > 0 ? Array(matching.prefix(limit)) : matching
        let rest = matching.count - page.count
        let token = rest > 0 ? page.last.map { ContinueToken(resourceVersion: listed, after: $0.key).text } : nil
        return [
            "kind": "PodList",
            "apiVersion": "v1",
            "metadata": [
                "resourceVersion": .string(String(listed)), "continue": token.map { .string($0) },
                "remainingItemCount": rest > 0 ? .integer(Int64(rest)) : nil,
            ],
            "items": .array(page.map { $0.json(withTypeMeta: false) }),
        ]
    }

    /// The body of a watch: initial events, then changes and bookmarks until the timeout, a restart, or the client
    /// leaves.
    func watch(_ watch: PodWatch, to writer: LabBodyWriter) async throws {
        let opened = open(watch)
        defer {
            storage.withLock { storage in
                storage.watches[opened.number] = nil
                storage.silenced[opened.number] = nil
            }
        }
        watchesOpened.record(watch.resourceVersion ?? 0)
        for line in opened.lines {
            try await writer.write(line)
        }
        guard !opened.isExpired else { return }
        try await withThrowingTaskGroup(of: Void.self) { group in
            defer { group.cancelAll() }
            group.addTask { [self] in
                let waits = watch.schedule(bookmarkInterval: options.bookmarkInterval)
                for (index, wait) in waits.enumerated() {
                    try await Task.sleep(for: wait)
                    signal(opened.number, isEnd: index == waits.count - 1)
                }
            }
            for await signal in opened.signals {
                switch signal {
                case .change(let change, let notBefore):
                    guard change.resourceVersion > opened.startsAfter else { continue }
                    try await Task.sleep(until: notBefore, clock: .continuous)
                    if let line = WatchLine.change(change, selector: watch.selector) { try await writer.write(line) }
                case .bookmark(let version):
                    guard version >= opened.startsAfter else { continue }
                    try await writer.write(WatchLine.bookmark(version))
                case .text(let text):
                    try await writer.write(ByteBuffer(string: text))
                case .cut:
                    try await writer.write(ByteBuffer(string: #"{"type":"MODIFIED","object":{"kind":"Pod","meta"#))
                    return
                case .end:
                    return
                }
            }
        }
    }

    private struct OpenedWatch: Sendable {
        var number: Int
        var signals: AsyncStream<WatchSignal>
        var lines: [ByteBuffer]
        /// Changes up to here are not the watch's business: it said that it knows them.
        var startsAfter: UInt64
        var isExpired = false
    }

    /// Takes the initial events and subscribes in one step, so that nothing falls between the two.
    private func open(_ watch: PodWatch) -> OpenedWatch {
        let (signals, continuation) = AsyncStream.makeStream(
            of: WatchSignal.self,
            bufferingPolicy: .bufferingOldest(Self.watchBacklog)
        )
        return storage.withLock { storage in
            storage.nextWatch += 1
            storage.watches[storage.nextWatch] = continuation
            let state = storage.state
            var opened = OpenedWatch(
                number: storage.nextWatch,
                signals: signals,
                lines: [],
                startsAfter: max(watch.resourceVersion ?? 0, state.resourceVersion)
            )
            let version = watch.resourceVersion ?? 0
            if version == 0 || watch.sendsInitialEvents {
                opened.lines = state.pods.values.filter(watch.selector.matches).sorted { $0.key < $1.key }
                    .map { WatchLine.event("ADDED", $0.json(withTypeMeta: true)) }
                opened.startsAfter = state.resourceVersion
                if watch.sendsInitialEvents, watch.allowsBookmarks {
                    opened.lines.append(WatchLine.bookmark(state.resourceVersion, endsInitialEvents: true))
                }
            } else if version < state.oldestWatchable {
                let message = "too old resource version: \(version) (\(state.oldestWatchable))"
                opened.lines = [WatchLine.event("ERROR", KubernetesStatus.expired(message).json)]
                opened.isExpired = true
            } else {
                opened.lines = state.history.filter { $0.resourceVersion > version }
                    .compactMap { WatchLine.change($0, selector: watch.selector) }
            }
            return opened
        }
    }

    private func signal(_ number: Int, isEnd: Bool) {
        storage.withLock { storage in
            _ = storage.watches[number]?
                .yield(isEnd ? .end : .bookmark(resourceVersion: storage.state.resourceVersion))
        }
    }

    private static func tooLarge(_ version: UInt64, _ current: UInt64) -> KubernetesStatus {
        KubernetesStatus(
            code: 504,
            reason: "Timeout",
            message: "Timeout: Too large resource version: \(version), current: \(current)",
            details: [
                "causes": [["reason": "ResourceVersionTooLarge", "message": "Too large resource version"]],
                "retryAfterSeconds": 1,
            ],
            retryAfterSeconds: 1
        )
    }
}

/// The place where the next page of a list begins.
private struct ContinueToken {
    var resourceVersion: UInt64
    var after: LabPod.Key

    init(resourceVersion: UInt64, after: LabPod.Key) {
        self.resourceVersion = resourceVersion
        self.after = after
    }

    init?(parsing text: String) {
        let parts = text.split(separator: ".")
        guard parts.count == 2, let version = UInt64(parts[0]), let key = Data(base64URL: parts[1]) else { return nil }
        let names = String(decoding: key, as: UTF8.self).split(separator: "/")
        guard names.count == 2 else { return nil }
        self.init(resourceVersion: version, after: LabPod.Key(String(names[0]), String(names[1])))
    }

    var text: String { "\(resourceVersion).\(Data("\(after.namespace)/\(after.name)".utf8).base64URL)" }
}
