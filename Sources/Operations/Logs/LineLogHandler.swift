import FoundationEssentials
package import Logging
import Synchronization
import Tokens

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// How records are written.
package enum LogFormat: String, Sendable, Hashable, CaseIterable {
    /// `TIME LEVEL LABEL: KEY=VALUE ... [SOURCE] MESSAGE`
    case text
    /// One object with `time`, `level`, `logger`, `source`, `message`, and the metadata below `fields`.
    case json
}

/// Writes each record as one line, whatever its message and metadata hold.
package struct LineLogHandler: LogHandler {
    package var logLevel = Logger.Level.info
    package var metadata: Logger.Metadata = [:]
    package var metadataProvider: Logger.MetadataProvider?
    private let label: String
    private let format: LogFormat
    private let write: @Sendable ([UInt8]) -> Void

    /// Hands `write` complete lines with their newline.
    package init(label: String, format: LogFormat, write: @escaping @Sendable ([UInt8]) -> Void) {
        self.label = label
        self.format = format
        self.write = write
    }

    /// Writes to standard error, where the container runtime reads.
    package static func standardError(label: String, format: LogFormat) -> LineLogHandler {
        LineLogHandler(label: label, format: format) { line in standardErrorLock.withLock { _ in writeAll(line) } }
    }

    package subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    package func log(event: LogEvent) {
        var fields = metadata
        if let provided = metadataProvider?.get() { fields.merge(provided) { $1 } }
        if let explicit = event.metadata { fields.merge(explicit) { $1 } }
        if let error = event.error { fields["error"] = "\(error)" }
        let sorted = fields.sorted { $0.key < $1.key }
        let time = Date().formatted(Date.ISO8601FormatStyle(includingFractionalSeconds: true))
        let line =
            switch format {
            case .text:
                "\(time) \(event.level) \(label):"
                    + sorted.map { " \(JSONText.escaped($0.key))=\(JSONText.escaped(Self.clean("\($0.value)")))" }
                    .joined()
                    + " [\(event.source)] \(JSONText.escaped(Self.clean(event.message.description)))\n"
            case .json:
                #"{"time":"\#(time)","level":"\#(event.level)","logger":\#(JSONText.string(label)),"#
                    + #""source":\#(JSONText.string(event.source)),"#
                    + #""message":\#(JSONText.string(Self.clean(event.message.description)))"#
                    + (sorted.isEmpty ? "" : #","fields":"# + Self.json(.dictionary(fields))) + "}\n"
            }
        write(Array(line.utf8))
    }

    /// `text` without what an upstream, a plugin or a file may have slipped into it.
    private static func clean(_ text: String) -> String { SecretRedactor.redact(text) }

    private static func json(_ value: Logger.MetadataValue) -> String {
        switch value {
        case .string(let text): JSONText.string(clean(text))
        case .stringConvertible(let object): JSONText.string(clean(object.description))
        case .array(let values): "[" + values.map(json).joined(separator: ",") + "]"
        case .dictionary(let values):
            "{"
                + values.sorted { $0.key < $1.key }.map { "\(JSONText.string($0.key)):\(json($0.value))" }
                .joined(separator: ",") + "}"
        }
    }

    private static let standardErrorLock = Mutex(())

    private static func writeAll(_ bytes: [UInt8]) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = unsafe rest.withUnsafeBytes { unsafe Glibc.write(STDERR_FILENO, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return }
            rest = rest.dropFirst(count)
        }
    }
}
