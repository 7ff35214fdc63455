import FoundationEssentials

/// The decoder for what a ``JSONProjector`` leaves.
enum ProjectedJSON {
    /// The text of a JSON string with its quotes; `nil` if it is none.
    static func decode(_ bytes: [UInt8]) -> String? {
        decode(String.self, from: bytes)
    }

    static func decode<Value: Decodable>(_ type: Value.Type, from bytes: [UInt8]) -> Value? {
        try? JSONDecoder().decode(type, from: Data(bytes))
    }
}
