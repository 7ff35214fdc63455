/// Chooses what is kept of a JSON document. Everything else is passed over.
indirect enum FieldMask: Sendable {
    /// A string, number, boolean or `null`. Of an object or array no more is kept than that it is one.
    case scalar
    /// These members of an object.
    case members([String: FieldMask])
    /// Every element of an array.
    case elements(FieldMask)
    /// Every element of an array, each as a document of its own.
    case records(FieldMask)

    /// These members of an object, each a scalar.
    static func scalars(_ names: some Sequence<String>) -> FieldMask {
        .members(Dictionary(names.map { ($0, .scalar) }, uniquingKeysWith: { first, _ in first }))
    }
}

/// The kept part of one object of the API.
struct JSONProjection: Sendable, Equatable {
    /// JSON again, with the members of the mask alone.
    var bytes: [UInt8]
    /// The bytes of the whole object in the stream, as far as they were read.
    var size: Int
    /// Whether something that the mask names is missing, because it was too long or because the stream ended.
    var isIncomplete: Bool
}
