import Foundation
import NIOCore
import NIOHTTP1
import Testing

@testable import Lab

/// Keys and authority are made once for all suites: RSA keys are slow to make.
enum Shared {
    static let keys = Result { try LabCluster.Keys() }
    static let pki = Result { try LabPKI() }
}

let wif = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/k"
let apiAudience = "https://kubernetes.default.svc.cluster.local"

/// An API server without a network, with the pods of the measured cluster.
struct TestAPI {
    let emulator: KubernetesEmulator
    let nodeA: String
    let nodeB: String
    let appUID: String

    init(_ configure: (inout KubernetesEmulator.Options) -> Void = { _ in }) throws {
        var options = KubernetesEmulator.Options()
        configure(&options)
        emulator = KubernetesEmulator(
            authority: try Shared.pki.get().authority,
            signingKey: try Shared.keys.get().kubernetes,
            options: options
        )
        for node in ["node-a", "node-b"] { emulator.addNode(node, uid: "uid-\(node)") }
        for name in ["app", "other", "noauto", "only-b"] {
            emulator.createServiceAccount(namespace: "team-a", name: name, uid: "uid-\(name)")
        }
        emulator.createServiceAccount(namespace: "team-b", name: "app", uid: "uid-b-app")
        appUID = emulator.createPod(
            namespace: "team-a", name: "app-a", serviceAccount: "app", node: "node-a", uid: "p-app")
        emulator.createPod(
            namespace: "team-a", name: "other-a", serviceAccount: "other", node: "node-a", uid: "p-other")
        emulator.createPod(
            namespace: "team-a",
            name: "noauto-a",
            serviceAccount: "noauto",
            node: "node-a",
            uid: "p-noauto",
            automount: false
        )
        emulator.createPod(namespace: "team-b", name: "app-b", serviceAccount: "app", node: "node-a", uid: "p-b")
        emulator.createPod(namespace: "team-a", name: "app-nb", serviceAccount: "app", node: "node-b", uid: "p-nb")
        emulator.createPod(namespace: "team-a", name: "only-nb", serviceAccount: "only-b", node: "node-b", uid: "p-ob")
        emulator.createPod(namespace: "team-a", name: "loose", serviceAccount: "app", node: nil, uid: "p-loose")
        nodeA = emulator.addNodeToken(for: "node-a")
        nodeB = emulator.addNodeToken(for: "node-b")
    }

    /// A request with a bearer token; node-a's unless said otherwise.
    func send(
        _ method: String, _ target: String, body: String = "", token: String? = nil, accept: String? = nil,
        anonymous: Bool = false
    ) async -> Answer {
        var headers = HTTPHeaders()
        if !anonymous { headers.add(name: "Authorization", value: "Bearer \(token ?? nodeA)") }
        if let accept { headers.add(name: "Accept", value: accept) }
        let request = LabRequest(method: method, target: target, headers: headers, body: ByteBuffer(string: body))
        return Answer(await emulator.handle(request))
    }

    /// A TokenRequest as the agent makes it.
    func mint(
        _ serviceAccount: String = "app", pod: String = "app-a", uid: String = "p-app", audiences: [String]? = nil,
        seconds: String = "3600", namespace: String = "team-a", metadata: String = "{}", token: String? = nil
    ) async -> Answer {
        let list = audiences.map { JSON.strings($0).text } ?? "null"
        return await send(
            "POST",
            "/api/v1/namespaces/\(namespace)/serviceaccounts/\(serviceAccount)/token",
            body: """
                {"apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest","metadata":\(metadata),"spec":\
                {"audiences":\(list),"expirationSeconds":\(seconds),"boundObjectRef":\
                {"apiVersion":"v1","kind":"Pod","name":"\(pod)","uid":"\(uid)"}}}
                """,
            token: token
        )
    }
}

/// The emulator's answer.
struct Answer {
    let status: Int
    let headers: [String: String]
    let text: String

    init(_ response: LabResponse) {
        status = response.status
        headers = Dictionary(response.headers.map { ($0.name, $0.value) }) { first, _ in first }
        if case .bytes(let bytes) = response.body { text = String(buffer: bytes) } else { text = "" }
    }

    /// Parsed; `null` if the text is not JSON.
    var json: JSON { (try? JSON(parsing: text.utf8)) ?? .null }
    var message: String { json["message"]?.string ?? "" }
    var token: String { json["status"]?["token"]?.string ?? "" }
    var claims: JSON { JSONWebToken(token)?.claims ?? .null }
}

/// Reads a watch in process, line by line.
struct WatchReader {
    let lines = EventLog<String>()

    /// Runs `body` while the watch of `target` is open, and ends it afterwards.
    func run(_ api: TestAPI, _ target: String, while body: @escaping @Sendable () async throws -> Void) async throws {
        let headers: HTTPHeaders = ["Authorization": "Bearer \(api.nodeA)"]
        let response = await api.emulator.handle(LabRequest(method: "GET", target: target, headers: headers))
        guard case .stream(let produce) = response.body else {
            Issue.record("not a watch: \(Answer(response).text)")
            return
        }
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                try await produce(LabBodyWriter { chunk in lines.record(Self.payload(of: chunk)) })
                lines.record("EOF")
            }
            try await body()
            group.cancelAll()
            // The cancelled stream ends with a CancellationError or in order; either way it has ended.
            while let _ = await group.nextResult() {}
        }
    }

    /// The chunk without its framing.
    private static func payload(of chunk: ByteBuffer) -> String {
        let text = String(buffer: chunk)
        let lines = text.components(separatedBy: "\r\n")
        return lines.count > 1 ? lines[1].trimmingCharacters(in: .newlines) : text
    }

    /// Types and names, as `ADDED app-a`.
    static func summary(_ line: String) -> String {
        guard let json = try? JSON(parsing: line.utf8), let type = json["type"]?.string else { return line }
        return type + (json["object"]?["metadata"]?["name"]?.string.map { " \($0)" } ?? "")
    }
}
