import Attribution
import FoundationEssentials
import NIOHTTP1
import Text
import Tokens
import UpstreamHTTP

/// Events, which `system:node` may create and patch (core/v1).
extension KubernetesClient {
    /// Creates the Event and returns its name.
    func createEvent(_ warning: PodWarning, nodeName: String) async throws(UpstreamFailure) -> String {
        let now = Date()
        let event = WireEvent(warning, nodeName: nodeName, now: now)
        _ = try await send(.POST, try Self.eventsPath(warning), body: SortedJSON.bytes(of: event))
        return event.metadata.name
    }

    /// Tells how often it has happened by now.
    func updateEvent(_ name: String, _ warning: PodWarning, count: Int) async throws(UpstreamFailure) {
        let patch = EventPatch(count: count, lastTimestamp: Date().formatted(.iso8601), message: warning.boundedMessage)
        guard let segment = PercentEncoding.segment(name) else { return }
        _ = try await send(.PATCH, try Self.eventsPath(warning) + "/" + segment, body: SortedJSON.bytes(of: patch)) {
            call in
            call.headers.replaceOrAdd(name: "content-type", value: "application/merge-patch+json")
        }
    }

    private static func eventsPath(_ warning: PodWarning) throws(UpstreamFailure) -> String {
        guard let namespace = PercentEncoding.segment(warning.pod.namespace) else {
            throw UpstreamFailure(upstream: .kubernetes, kind: .misconfigured, message: "the pod has no namespace")
        }
        return "/api/v1/namespaces/\(namespace)/events"
    }
}

private struct EventPatch: Encodable {
    var count: Int
    var lastTimestamp: String
    var message: String
}

/// `core/v1 Event`.
private struct WireEvent: Encodable {
    struct Metadata: Encodable {
        var name: String
        var namespace: String
    }

    struct Reference: Encodable {
        var apiVersion = "v1"
        var kind = "Pod"
        var namespace: String
        var name: String
        var uid: String
    }

    struct Source: Encodable {
        var component = "podidentd"
        var host: String
    }

    var apiVersion = "v1"
    var kind = "Event"
    var metadata: Metadata
    var involvedObject: Reference
    var reason: String
    var message: String
    var type = "Warning"
    var source: Source
    var reportingComponent = "podidentd"
    var reportingInstance: String
    var firstTimestamp: String
    var lastTimestamp: String
    var count = 1

    init(_ warning: PodWarning, nodeName: String, now: Date) {
        let pod = warning.pod
        metadata = Metadata(name: Self.name(pod.name, now), namespace: pod.namespace)
        involvedObject = Reference(namespace: pod.namespace, name: pod.name, uid: pod.uid.description)
        reason = warning.reason.rawValue
        message = warning.boundedMessage
        source = Source(host: nodeName)
        reportingInstance = nodeName
        let time = now.formatted(.iso8601)
        firstTimestamp = time
        lastTimestamp = time
    }

    /// The pod's name and the time in hexadecimal nanoseconds, as the kubelet names Events; a DNS subdomain.
    private static func name(_ pod: String, _ now: Date) -> String {
        var stem = pod.prefix(200)
        while let last = stem.last, last == "." || last == "-" { stem.removeLast() }
        return "\(stem).\(String(UInt64(now.timeIntervalSince1970 * 1e9), radix: 16))"
    }
}

extension PodWarning {
    /// The message within the API server's 1024 bytes, cut at a character's end.
    fileprivate var boundedMessage: String {
        var text = UpstreamText.clean(message, limit: 1000)
        while text.utf8.count > 1024 { text.removeLast() }
        return text
    }
}
