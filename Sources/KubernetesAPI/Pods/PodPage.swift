import NIOCore
import UpstreamHTTP

/// Reads one page of a pod list while it arrives.
struct PodPageReader: UpstreamBodyReader {
    /// The page's own metadata. The API server writes it before the items.
    struct Metadata: Sendable {
        var resourceVersion: String?
        var `continue`: String?

        /// `nil`: the document is no page's.
        fileprivate init?(_ document: JSONProjection) {
            do throws(JSONNode.Mismatch) {
                guard let metadata = try JSONNode(document.bytes)?.member("metadata") else { return nil }
                resourceVersion = try metadata.text("resourceVersion")
                `continue` = try metadata.text("continue")
            } catch {
                return nil
            }
        }
    }

    private(set) var pods: [ObservedPod] = []
    /// Items that lacked a UID or a name.
    private(set) var skipped = 0
    /// Items that were read to their end.
    var count: Int { pods.count + skipped }
    /// Why the page is none.
    private(set) var defect: JSONDefect?
    private var projector: JSONProjector
    private var document: JSONProjection?
    private let nodeName: String

    /// `labels` are the keys of those that are read.
    init(nodeName: String, labels: Set<String>) {
        self.nodeName = nodeName
        projector = JSONProjector(
            .members([
                "metadata": .members(["resourceVersion": .scalar, "continue": .scalar]),
                "items": .records(WireObject.mask(labels: labels)),
            ]))
    }

    mutating func read(_ chunk: ByteBuffer) -> Bool {
        var (documents, items): ([JSONProjection], [JSONProjection]) = ([], [])
        do throws(JSONDefect) {
            try projector.read(chunk.readableBytesUInt8Span) { projection, isRecord in
                if isRecord { items.append(projection) } else { documents.append(projection) }
            }
        } catch {
            defect = error
            return false
        }
        for item in items { take(item) }
        // More than one document is no page, in one chunk or in two.
        if documents.count > (document == nil ? 1 : 0) { defect = .unexpected(UInt8(ascii: "{")) }
        document = documents.last ?? document
        return defect == nil
    }

    private mutating func take(_ item: JSONProjection) {
        let object = JSONNode(item.bytes).flatMap { try? WireObject($0) }
        let isTooLarge = item.isIncomplete || item.size > ObjectSize.written
        if let pod = object?.pod(of: nodeName, isTooLarge: isTooLarge) {
            pods.append(pod)
        } else {
            skipped += 1
        }
    }

    /// The page's own metadata; `nil` if the answer was no page.
    var metadata: Metadata? {
        guard defect == nil, !projector.isWithinObject, let document else { return nil }
        return Metadata(document)
    }

    /// Ends a page of one object that is too large to be read to its end: the object counts as one that is too large.
    mutating func cut() -> Metadata? {
        guard defect == nil, let document = projector.unfinishedDocument else { return nil }
        if let item = projector.unfinishedRecord { take(item) }
        return Metadata(document)
    }
}

/// How many pods a list asks for at once: fewer while they are large.
struct PodPageSize: Sendable, Equatable {
    static let largest = 100
    private(set) var value = PodPageSize.largest

    /// A page of this size was too large, or took too long: halved once, and on until it is at most `count`, if so many
    /// did fit.
    mutating func halve(to count: Int = .max) {
        repeat { value = max(1, value / 2) } while value > max(count, 1)
    }

    mutating func grow() { value = min(Self.largest, value * 2) }
}
