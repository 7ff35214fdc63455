import NIOCore
import NIOHTTP1
import Tokens
import UpstreamHTTP

/// Reads one object of the API while it arrives, and keeps of it what a mask names.
struct ObjectReader: UpstreamBodyReader {
    private(set) var projection: JSONProjection?
    private var projector: JSONProjector

    init(mask: FieldMask) {
        projector = JSONProjector(mask)
    }

    mutating func read(_ chunk: ByteBuffer) -> Bool {
        var documents: [JSONProjection] = []
        do throws(JSONDefect) {
            try projector.read(chunk.readableBytesUInt8Span) { projection, _ in documents.append(projection) }
        } catch {
            projection = nil
            return false
        }
        guard documents.count + (projection == nil ? 0 : 1) <= 1 else {
            projection = nil
            return false
        }
        projection = documents.first ?? projection
        return true
    }
}

extension UpstreamReading<ObjectReader> {
    /// The object, if the answer is one whole object that `type` can be made of.
    func object<Value: Decodable>(_ type: Value.Type) -> Value? {
        wholeObject.flatMap { ProjectedJSON.decode(type, from: $0) }
    }

    /// The same without a type.
    var node: JSONNode? { wholeObject.flatMap { JSONNode($0) } }

    /// The bytes that are kept of the object, if the answer is one whole object.
    private var wholeObject: [UInt8]? {
        guard end == .whole, let projection = reader?.projection, !projection.isIncomplete else { return nil }
        return projection.bytes
    }
}

extension KubernetesClient {
    /// Reads one object, however large the API server lets it be.
    func readObject(
        _ path: String, mask: FieldMask
    ) async throws(UpstreamFailure) -> UpstreamReading<ObjectReader> {
        let reading = try await read(.GET, path, reader: ObjectReader(mask: mask)) {
            $0.bodyLimit = ObjectSize.written
        }
        guard reading.end != .tooLarge else {
            throw .unusable(reading.answer, "the object is larger than \(ObjectSize.written) bytes")
        }
        return reading
    }
}
