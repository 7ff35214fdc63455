import Attribution
import Foundation
import Logging
import UpstreamTesting

@testable import KubernetesAPI

let quietLogger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
let testAudience = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/k"
let testRelyingParty = "https://vault.example"
let testPod = PodRecord(
    uid: podUID("263760fa-943b-4596-8bfd-672bfa608c16"),
    namespace: "team-a",
    name: "app-a",
    serviceAccountName: "app"
)
let testServiceAccountUID = "62221f0e-0000-4000-8000-000000000001"

/// An API server on 127.0.0.1 that asks for client certificates, and a node's kubeconfig for it: the certificate is a
/// symbolic link that "rotation" replaces, as the kubelet's is.
struct KubernetesFixture: Sendable {
    let authority: TestAuthority
    let folder: String

    init() throws {
        authority = try TestAuthority()
        folder = try temporaryFolder()
        try authority.certificatePEM.write(toFile: folder + "/ca.crt", atomically: true, encoding: .utf8)
    }

    func rotate(serial: UInt8) throws {
        let identity = try authority.issue("system:node:node-a", serial: serial)
        try install("kubelet-client-\(serial).pem", identity.certificatePEM + "\n" + identity.privateKeyPEM)
    }

    /// Writes a new file and moves the link over to it in one step.
    func install(_ name: String, _ content: String) throws {
        try content.write(toFile: folder + "/" + name, atomically: true, encoding: .utf8)
        let link = folder + "/kubelet-client-current.pem"
        try? FileManager.default.removeItem(atPath: link + ".new")
        try FileManager.default.createSymbolicLink(atPath: link + ".new", withDestinationPath: name)
        guard unsafe rename(link + ".new", link) == 0 else { throw CocoaError(.fileWriteUnknown) }
    }

    func kubeconfig(port: Int) throws -> Kubeconfig {
        let text = """
            apiVersion: v1
            kind: Config
            current-context: default
            clusters:
            - name: c
              cluster: {server: "https://127.0.0.1:\(port)", certificate-authority: ca.crt}
            users:
            - name: u
              user: {client-certificate: kubelet-client-current.pem, client-key: kubelet-client-current.pem}
            contexts:
            - name: default
              context: {cluster: c, user: u}
            """
        try text.write(toFile: folder + "/kubeconfig", atomically: true, encoding: .utf8)
        return try Kubeconfig.load(path: folder + "/kubeconfig")
    }

    /// Runs `body` with a client of a server that answers as `script` says.
    @discardableResult
    static func run<Result: Sendable>(
        silence: Duration = .seconds(90),
        patience: Duration = .milliseconds(400),
        logger: Logger = quietLogger,
        script: @escaping ScriptedServer.Script,
        body: @escaping @Sendable (KubernetesClient, ScriptedServer, KubernetesFixture) async throws -> Result
    ) async throws -> Result {
        let fixture = try KubernetesFixture()
        try fixture.rotate(serial: 10)
        defer { try? FileManager.default.removeItem(atPath: fixture.folder) }
        let tls = try fixture.authority.serverConfiguration(asksForClient: true)
        return try await ScriptedServer.serve(tls: tls, script: script) { server in
            let credentials = try NodeCredentials(
                kubeconfig: fixture.kubeconfig(port: server.port), checkInterval: .zero, logger: quietLogger
            )
            var options = try KubernetesClientOptions(
                audience: testAudience, podTokenAudiences: [testRelyingParty], userAgent: "podidentd/test")
            options.watchSilence = silence
            options.relationshipPatience = patience
            options.callTimeout = .seconds(10)
            let client = KubernetesClient(options: options, credentials: credentials, logger: logger)
            let result: Swift.Result<Result, any Error>
            do { result = .success(try await body(client, server, fixture)) } catch { result = .failure(error) }
            await client.shutdown()
            return try result.get()
        }
    }
}

/// A UID that is as good as `text`: a short name in hexadecimal, filled up with zeros.
func uidText(_ text: String) -> String {
    guard PodUID(text) == nil else { return text }
    let digits = text.utf8.map { String($0, radix: 16) }.joined()
    return digits + String(repeating: "0", count: max(0, 32 - digits.count))
}

func podUID(_ text: String) -> PodUID {
    guard let uid = PodUID(uidText(text)) else { preconditionFailure("\(text) makes no pod UID") }
    return uid
}

func statusBody(_ code: Int, _ message: String, reason: String = "Forbidden") -> String {
    let text = message.replacingOccurrences(of: "\"", with: "\\\"")
    return #"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","#
        + #""message":"\#(text)","reason":"\#(reason)","code":\#(code)}"#
}

func podObject(
    _ uid: String, name: String = "p", version: Int = 1, extra: String = "", phase: String = "Running"
) -> String {
    #"{"metadata":{"uid":"\#(uidText(uid))","name":"\#(name)","namespace":"team-a","resourceVersion":"\#(version)"\#(extra)},"#
        + #""spec":{"serviceAccountName":"app","nodeName":"node-a","containers":null},"status":{"phase":"\#(phase)"}}"#
}

func podList(version: Int, _ pods: [String], next: String = "") -> String {
    #"{"kind":"PodList","metadata":{"resourceVersion":"\#(version)","continue":"\#(next)"},"#
        + #""items":[\#(pods.joined(separator: ","))]}"#
}

func watchLine(_ type: String, _ object: String) -> String {
    #"{"type":"\#(type)","object":\#(object)}"#
}

func pod(_ uid: String, name: String = "p") -> PodRecord {
    PodRecord(uid: podUID(uid), namespace: "team-a", name: name, serviceAccountName: "app")
}
