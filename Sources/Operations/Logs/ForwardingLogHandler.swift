package import Logging

/// Gives each event to a closure, with its metadata and the logger's.
package struct ForwardingLogHandler: LogHandler {
    package var logLevel = Logger.Level.info
    package var metadata: Logger.Metadata = [:]
    private let receive: @Sendable (LogEvent, Logger.Metadata) -> Void

    package init(_ receive: @escaping @Sendable (LogEvent, Logger.Metadata) -> Void) {
        self.receive = receive
    }

    package subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    package func log(event: LogEvent) {
        receive(event, metadata.merging(event.metadata ?? [:]) { $1 })
    }
}
