import NIOCore
import UpstreamHTTP

/// One event of a watch of PodCertificateRequests.
package enum PodCertificateEvent: Sendable, Hashable {
    case updated(PodCertificateRequest)
    case deleted(uid: String)
    case bookmark(resourceVersion: String)
    /// The server ends the watch; 410: its resource version is too old.
    case failure(code: Int)
    /// The line is no event of such a watch.
    case malformed
}

/// Splits a watch into lines of one event each, and reads them.
struct PodCertificateEvents: Sendable {
    /// A request has a signing request of a few hundred bytes and a chain of a few kilobytes.
    static let lineLimit = 256 * 1024

    private var pending: [UInt8] = []

    /// The events that end in `chunk`; `nil` if a line is longer than any event.
    mutating func read(_ chunk: ByteBuffer) -> [PodCertificateEvent]? {
        var events: [PodCertificateEvent] = []
        for byte in chunk.readableBytesView {
            if byte == UInt8(ascii: "\n") {
                if !pending.isEmpty { events.append(Self.event(pending)) }
                pending.removeAll(keepingCapacity: true)
            } else {
                guard pending.count < Self.lineLimit else { return nil }
                pending.append(byte)
            }
        }
        return events
    }

    static func event(_ line: [UInt8]) -> PodCertificateEvent {
        guard let type = ProjectedJSON.decode(EventType.self, from: line)?.type else { return .malformed }
        switch type {
        case "ADDED", "MODIFIED":
            return ProjectedJSON.decode(Event<PodCertificateRequest>.self, from: line).map { .updated($0.object) }
                ?? .malformed
        case "DELETED":
            return ProjectedJSON.decode(Event<Reference>.self, from: line)?.object.metadata.uid.map {
                .deleted(uid: $0)
            }
                ?? .malformed
        case "BOOKMARK":
            let version = ProjectedJSON.decode(Event<Reference>.self, from: line)?.object.metadata.resourceVersion
            return version.map { .bookmark(resourceVersion: $0) } ?? .malformed
        case "ERROR":
            return .failure(code: ProjectedJSON.decode(Event<KubernetesStatus>.self, from: line)?.object.code ?? 500)
        default: return .malformed
        }
    }

    private struct EventType: Decodable {
        var type: String
    }

    private struct Event<Object: Decodable>: Decodable {
        var object: Object
    }

    private struct Reference: Decodable {
        var metadata: Metadata

        struct Metadata: Decodable {
            var uid: String?
            var resourceVersion: String?
        }
    }
}

/// Reads a watch until the one request that it is about has been decided, or is gone.
struct PodCertificateDecisionReader: UpstreamBodyReader {
    enum End: Sendable, Hashable {
        case decided(PodCertificateRequest)
        case gone
        case unreadable
    }

    private(set) var end: End?
    private let uid: String
    private var events = PodCertificateEvents()

    init(uid: String) {
        self.uid = uid
    }

    mutating func read(_ chunk: ByteBuffer) -> Bool {
        guard let read = events.read(chunk) else {
            end = .unreadable
            return false
        }
        for event in read where end == nil {
            switch event {
            case .updated(let request) where request.metadata.uid == uid && request.decision != nil:
                end = .decided(request)
            case .deleted(uid: uid): end = .gone
            case .failure, .malformed: end = .unreadable
            case .updated, .deleted, .bookmark: continue
            }
        }
        return end == nil
    }
}
