import Attribution
import MetadataProtocol
import NIOCore
import NIOHTTP1
import UpstreamHTTP

/// The Kubernetes API as far as an agent asks it: the Node authorizer, NodeRestriction, TokenRequests bound to pods.
extension World {
    static let subjectAudience = "simulation.svc.id.goog"
    static let podTokenAudience = "vault"

    func answerOfAPIServer(_ call: UpstreamCall, node: Int) -> UpstreamResponse {
        guard let token = call.headers.first(name: "authorization"), nodes[node].kubelet.accepts(token) else {
            return status(401, "Unauthorized")
        }
        let path = Substring(call.url.utf8.dropFirst("https://".utf8.count).drop { $0 != UInt8(ascii: "/") })
        let (route, query) = WireText.split(path)
        let parts = route.utf8.split(separator: UInt8(ascii: "/")).map { String(Substring($0)) }
        if route == "/api/v1/pods" {
            guard query["fieldSelector"] == "spec.nodeName%3Dnode-\(node)" else {
                violated(.ownToken, "node-\(node) asked for pods of another node: \(call.url)")
                return status(403, "pods is forbidden")
            }
            return query["watch"] == nil ? list(node, query) : watchHead(query)
        }
        if parts.count >= 5, parts[2] == "namespaces", parts[4] == "events" {
            judgeEvent(call)
            return answer(201, "{}", of: .apiServer)
        }
        guard parts.count >= 6, parts[2] == "namespaces", parts[4] == "serviceaccounts" else {
            return status(404, "the server could not find the requested resource")
        }
        if has(.apiForgetsPods), random.chance(0.8) {
            return status(403, "no relationship found between node 'node-\(node)' and this object")
        }
        let account = cluster.account(parts[3], parts[5])
        if parts.count == 7 { return mint(call, parts[3], parts[5], account, node: node) }
        guard let account, let state = cluster.accounts[account].state else {
            return status(404, "serviceaccounts \"\(parts[5])\" not found")
        }
        let annotations = state.email.map { #","annotations":{"iam.gke.io/gcp-service-account":"\#($0)"}"# } ?? ""
        let metadata = #"{"name":"\#(parts[5])","namespace":"\#(parts[3])","uid":"\#(state.uid)"\#(annotations)}"#
        return answer(200, #"{"kind":"ServiceAccount","metadata":\#(metadata)}"#, of: .apiServer)
    }

    func status(_ code: Int, _ message: String) -> UpstreamResponse {
        answer(code, #"{"kind":"Status","status":"Failure","message":"\#(message)","code":\#(code)}"#, of: .apiServer)
    }

    private func list(_ node: Int, _ query: [String: String]) -> UpstreamResponse {
        let all = cluster.listed[node] ?? []
        let begin = query["continue"].flatMap(Int.init) ?? 0
        let size = query["limit"].flatMap(Int.init) ?? all.count
        let page = all.dropFirst(begin).prefix(size)
        let next = begin + size < all.count ? #","continue":"\#(begin + size)""# : ""
        let metadata = #"{"resourceVersion":"\#(cluster.version)"\#(next)}"#
        let items = page.map { cluster.object(cluster.pods[$0]) }.joined(separator: ",")
        return answer(200, #"{"kind":"PodList","metadata":\#(metadata),"items":[\#(items)]}"#, of: .apiServer)
    }

    private func watchHead(_ query: [String: String]) -> UpstreamResponse {
        guard let version = query["resourceVersion"].flatMap(Int.init) else { return status(400, "no resourceVersion") }
        if version < cluster.oldest, random.chance(0.5) { return status(410, "too old resource version") }
        return answer(200, "", of: .apiServer)
    }

    private struct Request {
        /// The ServiceAccount's UID, if it must be this one.
        var accountUID: String?
        var audiences: [String]
        var seconds: Int
        var kind: String
        var name: String
        var uid: String

        init?(_ body: ByteBuffer) {
            guard let object = WireJSON(Array(body.readableBytesView)), let spec = object["spec"],
                let reference = spec["boundObjectRef"], let audiences = spec["audiences"]?.texts,
                let seconds = spec["expirationSeconds"]?.number, let kind = reference["kind"]?.text,
                let name = reference["name"]?.text, let uid = reference["uid"]?.text
            else { return nil }
            accountUID = object["metadata"]?["uid"]?.text
            (self.audiences, self.seconds, self.kind, self.name, self.uid) = (audiences, seconds, kind, name, uid)
        }
    }

    /// Mints as the API server does: for pods of this node, under their ServiceAccount, bound to their UID.
    private func mint(
        _ call: UpstreamCall, _ namespace: String, _ name: String, _ account: Int?, node: Int
    ) -> UpstreamResponse {
        guard let request = call.body.flatMap(Request.init) else { return status(400, "bad TokenRequest") }
        judge.check(.ownToken)
        guard request.kind == "Pod", request.audiences.count == 1,
            [Self.subjectAudience, Self.podTokenAudience].contains(request.audiences[0])
        else {
            violated(.ownToken, "a TokenRequest that is not bound to a pod, or for another audience")
            return status(403, "audience not found in pod spec volume")
        }
        guard let pod = cluster.pod(namespace, request.name) else {
            return status(404, "pods \"\(request.name)\" not found")
        }
        guard pod.node == node else {
            return status(403, "no relationship found between node 'node-\(node)' and this object")
        }
        guard pod.uid.description == request.uid else { return status(409, "the UID in the bound object reference") }
        guard pod.account == name else { return status(400, "pod runs as another service account") }
        guard let account, let state = cluster.accounts[account].state else {
            return status(404, "serviceaccounts \"\(name)\" not found")
        }
        if let wanted = request.accountUID, wanted != state.uid { return status(409, "the UID in the precondition") }
        let seconds = Int64(request.seconds)
        let (audience, end, issued) = (request.audiences[0], apiTime + seconds, apiTime)
        // A relying party beside the cluster has the API server's time, STS has Google's.
        let life = audience == Self.podTokenAudience ? seconds : end - googleTime
        let grant = Grant(
            serial: 0, kind: .subject, pod: pod.uid, index: pod.index, namespace: namespace, account: name,
            accountUID: state.uid,
            purpose: audience, end: now + .seconds(life))
        let token = give(grant) { serial in
            #"{"aud":["\#(audience)"],"sub":"system:serviceaccount:\#(namespace):\#(name)","jti":"jti-\#(serial)","#
                + #""iat":\#(issued),"exp":\#(end),"kubernetes.io":{"namespace":"\#(namespace)","#
                + #""pod":{"name":"\#(pod.name)","uid":"\#(pod.uid)"},"#
                + #""serviceaccount":{"name":"\#(name)","uid":"\#(state.uid)"}}}"#
        }
        let time = CivilTime(secondsSince1970: Int(end)).rfc3339
        return answer(
            201,
            #"{"kind":"TokenRequest","metadata":{"name":"\#(name)","namespace":"\#(namespace)"},"#
                + #""spec":{"audiences":["\#(audience)"],"expirationSeconds":\#(seconds),"#
                + #""boundObjectRef":{"kind":"Pod","name":"\#(pod.name)","uid":"\#(pod.uid)"}},"#
                + #""status":{"token":"\#(token)","expirationTimestamp":"\#(time)"}}"#, of: .apiServer)
    }
}
