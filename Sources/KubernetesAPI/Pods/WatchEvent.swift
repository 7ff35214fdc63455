import Attribution

/// One event of a pod watch, understood.
enum WatchEvent: Equatable {
    case updated(ObservedPod, resourceVersion: String?)
    case deleted(PodUID, resourceVersion: String?)
    case bookmark(resourceVersion: String?)
    /// The server ends the watch with a `Status`: 410 if the resource version is too old.
    case failure(code: Int?, message: String)
    /// An unknown event type, or an object without a UID or a name: nothing to act on, but the watch has moved on.
    case skipped(resourceVersion: String?)
    /// A line that is not a watch event at all.
    case malformed

    init(_ projection: JSONProjection, nodeName: String) {
        let type: String
        let object: WireObject?
        do throws(JSONNode.Mismatch) {
            guard let node = JSONNode(projection.bytes), let name = try node.text("type") else {
                throw JSONNode.Mismatch()
            }
            type = name
            object = if let member = try node.member("object") { try WireObject(member) } else { nil }
        } catch {
            self = .malformed
            return
        }
        let version = object?.resourceVersion
        let isTooLarge = projection.isIncomplete || projection.size > ObjectSize.written
        switch type {
        case "ADDED", "MODIFIED":
            self =
                object?.pod(of: nodeName, isTooLarge: isTooLarge)
                .map { .updated($0, resourceVersion: version) } ?? .skipped(resourceVersion: version)
        case "DELETED":
            self = object?.uid.map { .deleted($0, resourceVersion: version) } ?? .skipped(resourceVersion: version)
        case "BOOKMARK":
            self = .bookmark(resourceVersion: version)
        case "ERROR":
            self = .failure(code: object?.code, message: object?.message ?? "no message")
        default:
            self = .skipped(resourceVersion: version)
        }
    }

    /// The fields of an event that are read.
    static func mask(labels: Set<String>) -> FieldMask {
        .members(["type": .scalar, "object": WireObject.mask(labels: labels)])
    }
}
