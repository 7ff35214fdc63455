import Logging
import MetadataProtocol
import NIOCore
import NIOHTTP1
import UpstreamHTTP

/// Texts that leave an agent for others than the pod whose token it is: none holds a token, be it for a moment.
extension World {
    /// Looks at a text; `source` says in words what it is.
    func judgeText(_ text: String, of source: @autoclosure () -> String) {
        judge.check(.secrecy)
        if Self.holdsToken(text) { violated(.secrecy, "\(source()) holds a token") }
    }

    /// Looks at the words of a refusal, which its pod may log and its client may show.
    func judgeRefusal(_ response: Response, to request: Int) {
        guard response.status != .ok, case .text(let text) = response.body else { return }
        judgeText(text, of: "the refusal of request \(request)")
    }

    /// Looks at an Event as it is sent: everybody who may read the namespace may read it.
    func judgeEvent(_ call: UpstreamCall) {
        judgeText(call.body.map { String(buffer: $0) } ?? "", of: "an Event")
    }

    /// Looks at a message of the log before the log's own writer redacts it.
    func judgeMessage(_ event: LogEvent) {
        judge.check(.secrecy)
        let holdsToken =
            Self.holdsToken(event.message.description)
            || event.metadata.map { $0.values.contains { Self.holdsToken(in: $0) } } ?? false
            || event.error.map { Self.holdsToken("\($0)") } ?? false
        if holdsToken { violated(.secrecy, "a message of the log holds a token") }
    }

    /// Whether the text holds the beginning of an opaque token or of a JWT.
    private static func holdsToken(_ text: String) -> Bool {
        WireText.holds(text, "ya29.") || WireText.holds(text, "eyJ")
    }

    private static func holdsToken(in value: Logger.MetadataValue) -> Bool {
        switch value {
        case .string(let text): holdsToken(text)
        case .stringConvertible(let object): holdsToken(object.description)
        case .array(let values): values.contains { holdsToken(in: $0) }
        case .dictionary(let values): values.values.contains { holdsToken(in: $0) }
        }
    }

    /// The beginning of the credential that a call carries: upstreams and proxies repeat it in some of their errors.
    static func echo(of call: UpstreamCall) -> String {
        let credential =
            call.headers.first(name: "authorization")
            ?? call.body.flatMap { WireText.fields(Substring(String(buffer: $0)))["subject_token"] }
        return String(decoding: (credential ?? "none").utf8.prefix(48), as: UTF8.self)
    }
}

/// The log of a simulated agent: nothing is written, and the world looks at each message, whatever its level.
struct JudgedLog: LogHandler {
    let world: World
    var logLevel = Logger.Level.trace
    var metadata: Logger.Metadata = [:]

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) { world.judgeMessage(event) }
}
