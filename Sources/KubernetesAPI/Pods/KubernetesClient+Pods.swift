import NIOHTTP1
import Synchronization
import Tokens
import UpstreamHTTP

/// A complete list of this node's pods at one resource version.
struct PodList: Sendable {
    var pods: [ObservedPod] = []
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
    /// The most that is read of one page. A pod is 5 to 20 KB as the API server writes it, in the extreme
    /// ``ObjectSize/written``: a page that holds more is asked for again with fewer pods, so that no page takes long.
    private static let pageBodyLimit = 16 << 20
    /// The most pages, to bound the loop: far above what a kubelet can run, one pod a page.
    private static let pageCountLimit = 4096

    private static func podsQuery(_ nodeName: String, _ rest: KeyValuePairs<String, String>) -> String {
        let selector = PercentEncoding.form(["fieldSelector": "spec.nodeName=\(nodeName)"])
        return "/api/v1/pods?\(selector)&\(PercentEncoding.form(rest))"
    }

    /// Lists the pods of `nodeName`, with those of their labels that have the given keys. No resource version is given: the answer is as new as anything a watch has shown.
    func listPods(nodeName: String, labels: Set<String> = []) async throws(UpstreamFailure) -> PodList {
        // The pods that were too large for a full page may be gone.
        pageSize.withLock { $0.grow() }
        do throws(UpstreamFailure) {
            return try await listPages(nodeName: nodeName, labels: labels)
        } catch  where error.status == 410 {
            // The version that the pages belong to was compacted away while they were read.
            return try await listPages(nodeName: nodeName, labels: labels)
        }
    }

    private func listPages(nodeName: String, labels: Set<String>) async throws(UpstreamFailure) -> PodList {
        var list = PodList()
        var token = ""
        for _ in 0..<Self.pageCountLimit {
            let size = pageSize.withLock { $0.value }
            let query: KeyValuePairs = token.isEmpty ? ["limit": "\(size)"] : ["limit": "\(size)", "continue": token]
            let reading = try await page(
                Self.podsQuery(nodeName, query), PodPageReader(nodeName: nodeName, labels: labels))
            guard var reader = reading.reader else { throw .unusable(reading.answer, "the answer is no list of pods") }
            if reading.end == .tooLarge, size > 1 {
                pageSize.withLock { $0.halve(to: reader.count) }
                continue
            }
            let metadata = reading.end == .tooLarge ? reader.cut() : reader.metadata
            guard let metadata, let version = metadata.resourceVersion, !version.isEmpty else {
                let reason = reader.defect.map { ": \($0)" } ?? ""
                throw .unusable(reading.answer, "the answer is no list of pods\(reason)")
            }
            list.pods += reader.pods
            list.skipped += reader.skipped
            list.resourceVersion = version
            token = metadata.continue ?? ""
            if token.isEmpty { return list }
        }
        throw UpstreamFailure(
            upstream: .kubernetes, kind: .unavailable,
            message: "the pod list has more than \(Self.pageCountLimit) pages"
        )
    }

    private func page(
        _ query: String, _ reader: PodPageReader
    ) async throws(UpstreamFailure) -> UpstreamReading<PodPageReader> {
        try await exchange(.GET, query) { call in
            call.timeout = options.listTimeout
            call.bodyLimit = Self.pageBodyLimit
        } perform: { call throws(TransportError) in
            do throws(TransportError) {
                let reading = try await callClient.answer(to: call, reader: reader)
                return (reading.answer, reading)
            } catch {
                // The next list asks for less.
                if error.cause == .timedOut { pageSize.withLock { $0.halve() } }
                throw error
            }
        }
    }

    /// Watches the pods of `nodeName` from `resourceVersion` on, until the watch ends: by itself, or because the server
    /// was asked to end it after so many `seconds`.
    ///
    /// `opened` is called when the server has accepted it, `receive` with each event, in order.
    func watchPods(
        nodeName: String,
        labels: Set<String>,
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
        var reader = PodWatchReader(nodeName: nodeName, labels: labels)
        do throws(TransportError) {
            let credentials = await credentials.current()
            if let problem = credentials.problem { return .refused(UpstreamFailure(noCredentials: problem)) }
            let call = call(.GET, query, as: credentials)
            let result = try await watchClient.stream(call, opened: opened) { reader.read($0, receive: receive) }
            if let end = reader.end { return end }
            if reader.isWithinObject { return .disconnected("the watch ended in the middle of an object") }
            guard case .answered(let answer) = result else { return .ended }
            if answer.status == 401 { self.credentials.distrust() }
            let failure = UpstreamFailure(kubernetes: answer)
            return answer.status == 410 ? .expired(failure.message) : .refused(failure)
        } catch {
            return error.cause == .silent ? .silent : .disconnected(error.description)
        }
    }
}
