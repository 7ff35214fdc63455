import Attribution
import FoundationEssentials
import NIOHTTP1
import Tokens
import UpstreamHTTP

/// A complete list of this node's pods at one resource version.
struct PodList: Sendable {
    var pods: [PodRecord] = []
    var resourceVersion = ""
    /// Items that lacked a UID or a name.
    var skipped = 0
}

/// How a watch came to its end.
enum WatchEnd: Sendable, Hashable {
    /// The end of the stream, by `timeoutSeconds` or because the server stops.
    case ended
    /// The resource version is too old (410).
    case expired(String)
    /// No byte for too long.
    case silent
    /// The server ended the watch with an error, or sent what is no watch event.
    case broken(String)
    /// No watch: an answer that is no 200.
    case refused(UpstreamFailure)
    /// The connection failed, or was cut.
    case disconnected(String)
}

extension KubernetesClient {
    /// A pod is 5 to 20 KB as the API server writes it, in the extreme 1.5 MB.
    private static let pageSize = 100
    private static let pageBodyLimit = 16 << 20
    /// Far above what a kubelet can run, to bound the loop.
    private static let pageCountLimit = 50
    /// One event is one pod, which etcd limits to 1.5 MB, some of it escaped.
    private static let lineLimit = 4 << 20

    private static func podsQuery(_ nodeName: String, _ rest: KeyValuePairs<String, String>) -> String {
        let selector = PercentEncoding.form(["fieldSelector": "spec.nodeName=\(nodeName)"])
        return "/api/v1/pods?\(selector)&\(PercentEncoding.form(rest))"
    }

    /// Lists the pods of `nodeName`. No resource version is given: the answer is as new as anything a watch has shown.
    func listPods(nodeName: String) async throws(UpstreamFailure) -> PodList {
        do throws(UpstreamFailure) {
            return try await listPages(nodeName: nodeName)
        } catch  where error.status == 410 {
            // The version that the pages belong to was compacted away while they were read.
            return try await listPages(nodeName: nodeName)
        }
    }

    private func listPages(nodeName: String) async throws(UpstreamFailure) -> PodList {
        var list = PodList()
        var token = ""
        for _ in 0..<Self.pageCountLimit {
            let query: KeyValuePairs =
                token.isEmpty ? ["limit": "\(Self.pageSize)"] : ["limit": "\(Self.pageSize)", "continue": token]
            let answer = try await send(.GET, Self.podsQuery(nodeName, query)) { call in
                call.timeout = options.listTimeout
                call.bodyLimit = Self.pageBodyLimit
            }
            guard let page = try? JSONDecoder().decode(Page.self, from: Data(answer.body)),
                let version = page.metadata.resourceVersion, !version.isEmpty
            else {
                throw .unusable(answer, "the answer is no list of pods: \(answer.bodyText)")
            }
            for item in page.items ?? [] {
                if let pod = item.pod(of: nodeName, policies: policies) {
                    list.pods.append(pod)
                } else {
                    list.skipped += 1
                }
            }
            list.resourceVersion = version
            token = page.metadata.continue ?? ""
            if token.isEmpty { return list }
        }
        throw UpstreamFailure(
            upstream: .kubernetes,
            kind: .unavailable,
            message: "the list of pods has more than \(Self.pageCountLimit) pages"
        )
    }

    /// Watches the pods of `nodeName` from `resourceVersion` on, until the watch ends: by itself, or because the server
    /// was asked to end it after so many `seconds`.
    ///
    /// `opened` is called when the server has accepted it, `receive` with each event, in order.
    func watchPods(
        nodeName: String,
        from resourceVersion: String,
        seconds: Int,
        opened: () -> Void,
        receive: (WatchEvent) -> Void
    ) async -> WatchEnd {
        let query = Self.podsQuery(
            nodeName,
            [
                "watch": "true", "allowWatchBookmarks": "true", "resourceVersion": resourceVersion,
                "timeoutSeconds": "\(seconds)",
            ]
        )
        var end = WatchEnd.ended
        do throws(TransportError) {
            let credentials = await credentials.current()
            if let problem = credentials.problem { return .refused(UpstreamFailure(noCredentials: problem)) }
            let call = call(.GET, query, as: credentials)
            let result = try await watchClient.stream(call, lineLimit: Self.lineLimit, opened: opened) { line in
                let event = WatchEvent(line: line, nodeName: nodeName, policies: policies)
                receive(event)
                switch event {
                case .failure(410, let message): end = .expired(UpstreamText.clean(message))
                case .failure(let code, let message):
                    end = .broken(UpstreamText.clean("\(code.map(String.init) ?? "error"): \(message)"))
                case .malformed: end = .broken("a line that is no watch event")
                case .updated, .deleted, .bookmark, .skipped: return true
                }
                return false
            }
            if case .cut = result { return .disconnected("the watch ended in the middle of an object") }
            guard case .answered(let answer) = result else { return end }
            if answer.status == 401 { self.credentials.distrust() }
            let failure = UpstreamFailure(kubernetes: answer)
            return answer.status == 410 ? .expired(failure.message) : .refused(failure)
        } catch {
            return error.cause == .silent ? .silent : .disconnected(error.description)
        }
    }

    private struct Page: Decodable {
        var metadata: Metadata
        var items: [WireObject]?

        struct Metadata: Decodable {
            var resourceVersion: String?
            var `continue`: String?
        }
    }
}
