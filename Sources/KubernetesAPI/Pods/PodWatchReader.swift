import NIOCore
import UpstreamHTTP

/// Reads the events of a pod watch while they arrive.
struct PodWatchReader {
    /// How the watch ended, if an event or the lack of one ended it.
    private(set) var end: WatchEnd?
    /// Whether the stream is inside of an event.
    var isWithinObject: Bool { projector.isWithinObject }

    private var projector: JSONProjector
    private let nodeName: String

    /// `labels` are the keys of those that are read.
    init(nodeName: String, labels: Set<String>) {
        self.nodeName = nodeName
        projector = JSONProjector(WatchEvent.mask(labels: labels))
    }

    /// Calls `receive` with each event that ends in `chunk`; `false` if the watch is over.
    mutating func read(_ chunk: ByteBuffer, receive: (WatchEvent) -> Void) -> Bool {
        var projections: [JSONProjection] = []
        var isMalformed = false
        do throws(JSONDefect) {
            try projector.read(chunk.readableBytesUInt8Span) { projection, _ in projections.append(projection) }
        } catch {
            isMalformed = true
        }
        for projection in projections where end == nil {
            let event = WatchEvent(projection, nodeName: nodeName)
            receive(event)
            end = Self.end(by: event)
        }
        if end == nil, isMalformed {
            receive(.malformed)
            end = Self.end(by: .malformed)
        }
        if end == nil, projector.pendingSize > ObjectSize.unreadable {
            end = .broken("an event of more than \(ObjectSize.unreadable) bytes")
        }
        return end == nil
    }

    private static func end(by event: WatchEvent) -> WatchEnd? {
        switch event {
        case .failure(410, let message): .expired(UpstreamText.clean(message))
        case .failure(let code, let message):
            .broken(UpstreamText.clean("\(code.map(String.init) ?? "error"): \(message)"))
        case .malformed: .broken("what is no watch event")
        case .updated, .deleted, .bookmark, .skipped: nil
        }
    }
}
