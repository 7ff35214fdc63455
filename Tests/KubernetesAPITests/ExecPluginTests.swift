import Foundation
import Fuzzing
import Logging
import NIOHTTP1
import Testing
import Tokens
import UpstreamHTTP
import UpstreamTesting

@testable import KubernetesAPI

/// Credential plugins: real programs, run as the kubeconfig says.
@Suite("Credential plugins", .timeLimit(.minutes(10)))
struct ExecPluginTests {
    private static let good = """
        {"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"t-1"}}
        """

    @Test("the plugin's token goes to the API server, from one run for many requests")
    func token() async throws {
        let folder = try PluginFolder("echo run >> $0.runs; echo '\(Self.good)'")
        defer { folder.remove() }
        let credentials = try folder.credentials()
        try await withThrowingTaskGroup(of: NodeCredentials.Snapshot.self) { group in
            for _ in 0..<20 { group.addTask { await credentials.current() } }
            for try await snapshot in group { #expect(snapshot.bearerToken?.exposed == "t-1") }
        }
        #expect(try folder.runs == 1)
        #expect(credentials.latest.generation == 2 && credentials.latest.problem == nil)
    }

    @Test("a refused credential is replaced, and the request repeated with the new one")
    func refused() async throws {
        let authority = try TestAuthority()
        let folder = try PluginFolder(
            "echo run >> $0.runs; echo '\(Self.good)' | sed s/t-1/t-$(wc -l < $0.runs)/", authority: authority)
        defer { folder.remove() }
        let tls = try authority.serverConfiguration(asksForClient: false)
        try await ScriptedServer.serve(tls: tls) { request in
            request.headers.first(name: "authorization") == "Bearer t-1"
                ? .answer(401, statusBody(401, "Unauthorized")) : .answer(200, podList(version: 1, []))
        } body: { server in
            let credentials = try folder.credentials(port: server.port, pause: .zero)
            let client = KubernetesClient(
                options: try KubernetesClientOptions(audience: testAudience), credentials: credentials,
                logger: quietLogger)
            _ = try await client.listPods(nodeName: "node-a")
            _ = try await client.listPods(nodeName: "node-a")
            #expect(
                server.requests.map { $0.headers.first(name: "authorization") } == [
                    "Bearer t-1", "Bearer t-2", "Bearer t-2",
                ])
            #expect(try folder.runs == 2)
            await client.shutdown()
        }
    }

    @Test("a client certificate is presented")
    func certificate() async throws {
        let authority = try TestAuthority()
        let identity = try authority.issue("system:node:node-a", serial: 21)
        let wire: [String: Any] = [
            "apiVersion": ExecPlugin.Version.v1beta1.rawValue, "kind": "ExecCredential",
            "status": ["clientCertificateData": identity.certificatePEM, "clientKeyData": identity.privateKeyPEM],
        ]
        let json = String(decoding: try JSONSerialization.data(withJSONObject: wire), as: UTF8.self)
        let folder = try PluginFolder("cat $0.json", version: .v1beta1, authority: authority)
        defer { folder.remove() }
        try json.write(toFile: folder.plugin + ".json", atomically: true, encoding: .utf8)
        let tls = try authority.serverConfiguration(asksForClient: true)
        try await ScriptedServer.serve(tls: tls) { _ in
            .answer(200, podList(version: 1, []))
        } body: { server in
            let client = KubernetesClient(
                options: try KubernetesClientOptions(audience: testAudience),
                credentials: try folder.credentials(port: server.port), logger: quietLogger)
            _ = try await client.listPods(nodeName: "node-a")
            #expect(server.requests.map(\.clientSerial) == [[21]])
            await client.shutdown()
        }
    }

    @Test("the plugin gets its arguments, its variables, the cluster, and nothing of the agent's")
    func surroundings() async throws {
        let folder = try PluginFolder(
            """
            { echo "$*"; echo "$MINE"; echo "$KUBERNETES_EXEC_INFO"; ls /proc/self/fd | tr '\\n' ' '; echo
              cat; ps -o pgid= -p $$; echo $$; } > $0.seen
            echo '\(Self.good)'
            """,
            user: #", args: [eks, "get token"], env: [{name: MINE, value: "a=b"}], provideClusterInfo: true"#)
        defer { folder.remove() }
        // A descriptor that would be inherited.
        let leak = dup(STDERR_FILENO)
        defer { close(leak) }
        #expect(try await folder.credentials().current().bearerToken?.exposed == "t-1")
        let seen = try String(contentsOfFile: folder.plugin + ".seen", encoding: .utf8).split(separator: "\n")
        #expect(seen[0] == "eks get token")
        #expect(seen[1] == "a=b")
        let info = try #require(JSONSerialization.jsonObject(with: Data(seen[2].utf8)) as? [String: Any])
        let spec = try #require(info["spec"] as? [String: Any])
        let cluster = try #require(spec["cluster"] as? [String: Any])
        #expect(info["apiVersion"] as? String == "client.authentication.k8s.io/v1")
        #expect(spec["interactive"] as? Bool == false && cluster["server"] as? String == "https://127.0.0.1:1")
        #expect(
            cluster["certificate-authority-data"] as? String
                == Data(folder.authority.certificatePEM.utf8).base64EncodedString())
        // 3 is ls's own.
        #expect(seen[3].split(separator: " ") == ["0", "1", "2", "3"])
        #expect(seen[4].trimmingCharacters(in: .whitespaces) == seen[5], "a process group of its own")
    }

    @Test("a plugin that hangs, or leaves something behind, is killed with all that it started")
    func hang() async throws {
        let folder = try PluginFolder("sleep 1000 & echo $! > $0.pid; exec sleep 1000")
        defer { folder.remove() }
        let problem = try #require(try await folder.credentials(deadline: .milliseconds(300)).current().problem)
        #expect("\(problem)".contains("did not end within 0.3 seconds and was killed"), "\(problem)")
        let child = try #require(pid_t(try folder.read(".pid")))
        #expect(await isGone(child))

        let quick = try PluginFolder("sleep 1000 & echo $! > $0.pid; echo '\(Self.good)'")
        defer { quick.remove() }
        #expect(try await quick.credentials().current().bearerToken?.exposed == "t-1")
        #expect(await isGone(try #require(pid_t(try quick.read(".pid")))))
    }

    @Test("a request that is given up does not wait for the plugin, which goes on for the others")
    func givenUp() async throws {
        let folder = try PluginFolder("read line < $0.gate; echo '\(Self.good)'")
        defer { folder.remove() }
        let path = folder.plugin + ".gate"
        let made = unsafe mkfifo(path, 0o600)
        try #require(made == 0)
        let credentials = try folder.credentials()
        let request = Task { await credentials.current() }
        let other = Task { await credentials.current() }
        request.cancel()
        let problem = await request.value.problem
        #expect(problem?.problem == "still runs, and the request was given up")
        // Open at both ends, so that no end waits for the other.
        let gate = try FileHandle(forUpdating: URL(filePath: path))
        try gate.write(contentsOf: Data("open\n".utf8))
        #expect(await other.value.bearerToken?.exposed == "t-1")
        try gate.close()
    }

    /// Whether a killed process ends within a minute, though its parent may not have taken its status yet.
    private func isGone(_ process: pid_t) async -> Bool {
        let deadline = ContinuousClock.now + .seconds(60)
        while ContinuousClock.now < deadline {
            guard let status = try? String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8),
                !status.contains(") Z ")
            else { return true }
            await Task.yield()
        }
        return false
    }

    struct Bad: CustomTestStringConvertible, Sendable {
        var testDescription: String
        var script: String
        var words: String
    }

    @Test(
        "what is no credential is refused in words that hold no secret",
        arguments: [
            Bad(
                testDescription: "failure", script: "echo 'no network eyJhbGci.x.y s3cret-value' >&2; exit 3",
                words: "ended with status 3: no network [redacted] [redacted]"),
            Bad(testDescription: "silent failure", script: "exit 1", words: "printed no error"),
            Bad(testDescription: "signal", script: "kill -9 $$", words: "ended by signal 9"),
            Bad(testDescription: "no JSON", script: "echo s3cret-value", words: "is not the JSON"),
            Bad(testDescription: "endless output", script: "yes s3cret-value", words: "more than any credential"),
            Bad(
                testDescription: "another version", script: "echo '\(good)' | sed s,/v1,/v1beta1,",
                words: "another apiVersion"),
            Bad(testDescription: "another kind", script: "echo '\(good)' | sed s/ExecC/C/", words: "another kind"),
            Bad(testDescription: "no token", script: "echo '\(good)' | sed s/t-1//", words: "neither a token nor"),
            Bad(testDescription: "no status", script: "echo '\(good)' | sed s/status/state/", words: "has no status"),
            Bad(
                testDescription: "half a certificate", script: "echo '\(good)' | sed s/token/clientKeyData/",
                words: "only one of"),
            Bad(
                testDescription: "token with a line break", script: "echo '\(good)' | sed 's/t-1/t\\\\r\\\\nX: y/'",
                words: "cannot be one"),
            Bad(
                testDescription: "expired",
                script: "echo '\(good)' | sed 's/\"token/\"expirationTimestamp\":\"2020-01-01T00:00:00Z\",\"token/'",
                words: "has expired"),
            Bad(
                testDescription: "a time that is none",
                script: "echo '\(good)' | sed 's/\"token/\"expirationTimestamp\":\"soon\",\"token/'", words: "RFC 3339"),
        ])
    func bad(_ bad: Bad) async throws {
        let folder = try PluginFolder(bad.script, user: ", env: [{name: SECRET, value: s3cret-value}]")
        defer { folder.remove() }
        let credentials = try folder.credentials()
        let problem = "\(try #require(await credentials.current().problem))"
        #expect(problem.contains(bad.words), "\(problem)")
        for secret in ["s3cret", "t-1", "eyJ"] { #expect(!problem.contains(secret), "\(problem)") }
        let client = KubernetesClient(
            options: try KubernetesClientOptions(audience: testAudience), credentials: credentials, logger: quietLogger)
        let failure = await #expect(throws: UpstreamFailure.self) { try await client.listPods(nodeName: "n") }
        #expect(failure?.kind == .unavailable && failure?.message.contains("no credentials") == true)
        await client.shutdown()
    }

    @Test("what a plugin prints as its error is told without any credential", arguments: CredentialForms.all)
    func spoken(_ form: CredentialForms.Form) async throws {
        let folder = try PluginFolder("cat $0.words >&2; exit 3")
        defer { folder.remove() }
        try form.text.write(toFile: folder.plugin + ".words", atomically: true, encoding: .utf8)
        let found = try #require(try await folder.credentials().current().problem)
        let problem = "\(found)"
        #expect(problem.contains("ended with status 3: "), "\(problem)")
        #expect(!problem.contains(form.secret) && problem.contains("[redacted]"), "\(problem)")
    }

    @Test("commands are the node's: absolute, beside the kubeconfig, or along PATH")
    func paths() throws {
        let root = try temporaryFolder()
        defer { try? FileManager.default.removeItem(atPath: root) }
        for folder in ["/etc/kubernetes/bin", "/opt/bin", "/usr/bin"] {
            try FileManager.default.createDirectory(atPath: root + folder, withIntermediateDirectories: true)
            _ = FileManager.default.createFile(
                atPath: root + folder + "/auth", contents: Data(), attributes: [.posixPermissions: 0o755])
        }
        _ = FileManager.default.createFile(
            atPath: root + "/opt/bin/plain", contents: Data(), attributes: [.posixPermissions: 0o644])
        func locate(_ command: String, path: String = "/opt/bin:relative:/usr/bin") throws -> String {
            try ExecPlugin(version: .v1, command: command, arguments: [], environment: [], providesClusterInfo: false)
                .locate(
                    kubeconfig: root + "/etc/kubernetes/kubelet.conf", files: HostFiles(root: root), searchPath: path)
        }
        #expect(try locate("/usr/bin/auth") == root + "/usr/bin/auth")
        #expect(try locate("bin/auth") == root + "/etc/kubernetes/bin/auth")
        #expect(try locate("auth") == root + "/opt/bin/auth")
        #expect(try locate("auth", path: "") == root + "/usr/bin/auth")
        for command in ["plain", "missing", "/opt/bin/missing"] {
            let error = #expect(throws: KubernetesAPIError.self) { try locate(command) }
            #expect(error?.problem.contains(root + "/opt/bin/\(command.split(separator: "/").last ?? "")") == true)
        }
    }

    @Test(
        "what the agent cannot do with a plugin is refused when it starts",
        arguments: [
            ("apiVersion: client.authentication.k8s.io/v1alpha1, command: /bin/true", "apiVersion"),
            ("apiVersion: client.authentication.k8s.io/v1, command: /bin/true", "interactiveMode"),
            (
                "apiVersion: client.authentication.k8s.io/v1, command: /bin/true, interactiveMode: Always",
                "asks for input on a terminal"
            ),
            ("apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never", "command"),
            ("apiVersion: client.authentication.k8s.io/v1beta1, command: /nowhere/plugin", "/nowhere/plugin"),
            ("apiVersion: client.authentication.k8s.io/v1beta1, command: /bin/true, env: [{name: a=b}]", "env[0].name"),
        ])
    func refusedPlugins(_ exec: String, _ words: String) throws {
        let folder = try temporaryFolder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try """
        current-context: x
        clusters: [{name: c, cluster: {server: "https://10.0.0.1:6443"}}]
        users: [{name: u, user: {exec: {\(exec)}}}]
        contexts: [{name: x, context: {cluster: c, user: u}}]
        """.write(toFile: folder + "/config", atomically: true, encoding: .utf8)
        let error = #expect(throws: KubernetesAPIError.self) {
            try NodeCredentials(kubeconfig: try Kubeconfig.load(path: folder + "/config"), logger: quietLogger)
        }
        #expect("\(try #require(error))".contains(words), "\(String(describing: error))")
    }
}

@Suite("When a credential plugin runs again")
struct ExecCredentialCacheTests {
    private let start = ContinuousClock.now
    private let wall = UnixInstant(seconds: 1_700_000_000)
    private let error = KubernetesAPIError("plugin", "failed")

    private func credential(_ token: String, life: Duration?) throws -> ExecCredential {
        let end = life.map {
            #""expirationTimestamp":"\#(Date(timeIntervalSince1970: 1_700_000_000 + $0 / .seconds(1)).ISO8601Format())","#
        }
        let json = """
            {"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{\(end ?? "")"token":"\(token)"}}
            """
        return try ExecCredential(parsing: Array(json.utf8), version: .v1, now: wall)
    }

    @Test("before its end by a minute, or by a fifth of a short life", arguments: [(900, 840), (100, 80)])
    func renewal(life: Int, replaced: Int) throws {
        var cache = ExecCredentialCache()
        #expect(cache.action(at: start) == .run)
        cache.succeeded(try credential("a", life: .seconds(life)), at: start, wallClock: wall)
        let held = ExecCredentialCache.Held(credential: try credential("a", life: .seconds(life)), number: 1)
        #expect(cache.action(at: start + .seconds(replaced) - .milliseconds(1)) == .use(held))
        #expect(cache.action(at: start + .seconds(replaced)) == .run)
    }

    @Test("a failure leaves the old credential until its end, and later runs wait longer each time")
    func failure() throws {
        var cache = ExecCredentialCache()
        cache.succeeded(try credential("a", life: .seconds(100)), at: start, wallClock: wall)
        let held = ExecCredentialCache.Held(credential: try credential("a", life: .seconds(100)), number: 1)
        cache.failed(error, at: start + .seconds(80))
        #expect(cache.action(at: start + .milliseconds(80_999)) == .use(held))
        #expect(cache.action(at: start + .seconds(81)) == .run)
        cache.failed(error, at: start + .seconds(99))
        #expect(cache.action(at: start + .seconds(100)) == .fail(error), "its end, and 2 s are not over")
        #expect(cache.action(at: start + .seconds(101)) == .run)
    }

    @Test("without an end only a refusal replaces it, of this one and not of an older")
    func refusal() throws {
        var cache = ExecCredentialCache()
        cache.succeeded(try credential("a", life: nil), at: start, wallClock: wall)
        let later = start + .seconds(86_400)
        #expect(cache.action(at: later) != .run)
        cache.refused(7)
        #expect(cache.action(at: later) != .run)
        cache.refused(1)
        #expect(cache.action(at: later) == .run)
        cache.succeeded(try credential("b", life: nil), at: later, wallClock: wall)
        cache.refused(2)
        #expect(cache.action(at: later) != .run, "a plugin whose credentials are bad is not run by every request")
        #expect(cache.action(at: later + .seconds(1)) == .run)
    }
}

/// A kubeconfig with a shell script as its plugin.
private struct PluginFolder {
    let folder: String
    let authority: TestAuthority
    let user: String
    let version: ExecPlugin.Version

    var plugin: String { folder + "/plugin" }
    var runs: Int {
        get throws { try String(contentsOfFile: plugin + ".runs", encoding: .utf8).split(separator: "\n").count }
    }

    init(
        _ script: String, version: ExecPlugin.Version = .v1, user: String = "", authority: TestAuthority? = nil
    ) throws {
        folder = try temporaryFolder()
        self.user = user
        self.version = version
        self.authority = try authority ?? TestAuthority()
        try Data("#!/bin/sh\n\(script)\n".utf8).write(to: URL(filePath: plugin))
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: plugin)
        try self.authority.certificatePEM.write(toFile: folder + "/ca.crt", atomically: true, encoding: .utf8)
    }

    func read(_ suffix: String) throws -> String {
        try String(contentsOfFile: plugin + suffix, encoding: .utf8).trimmingCharacters(in: .whitespacesAndNewlines)
    }

    func credentials(
        port: Int = 1, deadline: Duration = .seconds(60), pause: Duration = .seconds(1)
    ) throws -> NodeCredentials {
        try """
        current-context: x
        clusters: [{name: c, cluster: {server: "https://127.0.0.1:\(port)", certificate-authority: ca.crt}}]
        users: [{name: u, user: {exec: {apiVersion: \(version.rawValue), command: ./plugin, interactiveMode: Never\(user)}}}]
        contexts: [{name: x, context: {cluster: c, user: u}}]
        """.write(toFile: folder + "/config", atomically: true, encoding: .utf8)
        return try NodeCredentials(
            kubeconfig: try Kubeconfig.load(path: folder + "/config"), pluginDeadline: deadline, pluginPause: pause,
            logger: quietLogger)
    }

    func remove() {
        try? FileManager.default.removeItem(atPath: folder)
    }
}
