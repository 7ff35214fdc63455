import NIOCore
import UpstreamHTTP
import VirtualTime

/// One open watch of the pods of a node.
final class SimulatedWatch: @unchecked Sendable {
    enum Item: Sendable {
        case bytes(String)
        case end
        /// The connection is cut, be it in the middle of an object.
        case cut
        /// The client's own deadline: nothing came for too long.
        case silence
    }

    let node: Int
    let items: AsyncStream<Item>
    fileprivate let continuation: AsyncStream<Item>.Continuation
    fileprivate var isOpen = true
    /// The time at which the last item that was sent arrives: none overtakes another unless a fault has it so.
    fileprivate var lastArrival: ContinuousClock.Instant
    /// Counts what arrived, to tell whether silence was broken.
    fileprivate var arrivals = 0

    init(node: Int, now: ContinuousClock.Instant) {
        self.node = node
        lastArrival = now
        (items, continuation) = AsyncStream.makeStream()
    }
}

extension World {
    /// The longest silence of a watch that a client bears, as `KubernetesClientOptions` has it.
    private static let silence = Duration.seconds(90)

    func openWatch(_ call: UpstreamCall, node: Int) -> SimulatedWatch {
        let (_, query) = WireText.split(Substring(call.url))
        let watch = SimulatedWatch(node: node, now: now)
        watches.append(watch)
        let version = query["resourceVersion"].flatMap(Int.init) ?? 0
        let seconds = query["timeoutSeconds"].flatMap(Int.init) ?? 300
        if version < cluster.oldest {
            send(#"{"type":"ERROR","object":{"kind":"Status","code":410,"message":"too old"}}"#, to: watch)
        } else {
            for change in cluster.changes where change.node == node && change.version > version {
                deliver(change, to: watch)
            }
        }
        timeline.after(.seconds(seconds)) { [weak watch] in if let watch { self.emit(.end, to: watch) } }
        bookmark(watch)
        awaitSilence(watch, arrivals: 0)
        return watch
    }

    func close(_ watch: SimulatedWatch) {
        watch.isOpen = false
        watch.continuation.finish()
        watches.removeAll { $0 === watch }
    }

    private func emit(_ item: SimulatedWatch.Item, to watch: SimulatedWatch) {
        guard watch.isOpen else { return }
        if let left = nodes[watch.node].sleepLeft(at: now) {
            return timeline.after(left) { [weak watch] in if let watch { self.emit(item, to: watch) } }
        }
        if case .bytes = item {
            guard !has(.watchSilent) else { return }
            watch.arrivals += 1
        }
        watch.continuation.yield(item)
    }

    private func bookmark(_ watch: SimulatedWatch) {
        timeline.after(.seconds(60)) { [weak watch] in
            guard let watch, watch.isOpen else { return }
            let version = self.cluster.version
            let object = #"{"kind":"Pod","metadata":{"resourceVersion":"\#(version)"}}"#
            self.send(#"{"type":"BOOKMARK","object":\#(object)}"#, to: watch)
            self.bookmark(watch)
        }
    }

    private func awaitSilence(_ watch: SimulatedWatch, arrivals: Int) {
        timeline.after(Self.silence) { [weak watch] in
            guard let watch, watch.isOpen else { return }
            guard watch.arrivals > arrivals else { return self.emit(.silence, to: watch) }
            self.awaitSilence(watch, arrivals: watch.arrivals)
        }
    }

    /// Tells the watches of a node of a change, each in its own time.
    func announce(_ change: Cluster.Change) {
        for watch in watches where watch.node == change.node { deliver(change, to: watch) }
    }

    private func deliver(_ change: Cluster.Change, to watch: SimulatedWatch) {
        if has(.watchDrops), random.chance(0.3) { return }
        let text = #"{"type":"\#(change.type)","object":\#(change.object)}"#
        // An event out of order is an earlier state of a pod, after its end.
        if has(.watchReorders), change.type == "DELETED", random.chance(0.7) {
            send(text, to: watch)
            return send(text.replacing("DELETED", with: "MODIFIED"), to: watch)
        }
        send(text, to: watch)
        if has(.watchDuplicates), random.chance(0.5) { send(text, to: watch) }
    }

    private func send(_ text: String, to watch: SimulatedWatch) {
        let usual = Duration.milliseconds(2 + random.below(40))
        let delay = has(.watchLate) ? random.duration(.milliseconds(50), .seconds(8)) : usual
        watch.lastArrival = max(watch.lastArrival, now + delay)
        timeline.after(watch.lastArrival - now) { [weak watch] in
            if let watch { self.emit(.bytes(text + "\n"), to: watch) }
        }
    }

    /// Ends every watch at once, in one of the ways in which they end.
    func disturbWatches(by fault: Fault) {
        for watch in watches {
            if fault == .watchGarbage {
                emit(.bytes("{\"type\":7}garbage\n"), to: watch)
            } else {
                if random.chance(0.5) { emit(.bytes(#"{"type":"MODIFIED","object":{"meta"#), to: watch) }
                emit(.cut, to: watch)
            }
        }
    }
}
