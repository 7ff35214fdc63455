import AgentTesting
import Foundation
import Lab

/// An Envoy in a pod: the program from PyPI, with certificates from the agent's secret discovery and no file but its configuration.
final class Envoy: Sendable {
    private static let port = 7443
    private static let type = "type.googleapis.com/envoy.extensions."

    let pod: RunningPod
    private let command: Command

    /// Starts one that accepts mutual TLS from the workload `client`, and answers by itself.
    static func serve(in pod: RunningPod, _ world: LabWorld, client: String) async throws -> Envoy {
        let tls = transport("DownstreamTlsContext", ("default", "ROOTCA"), peer: client)
            .merging(["require_client_certificate": true])
        let listener = listener(
            "mesh", address: pod.address, port: port,
            route: ["direct_response": ["status": 200, "body": ["inline_string": "hello"]]],
            socket: ["name": "tls", "typed_config": tls])
        return try await Envoy(pod, world, listener: listener, clusters: [])
    }

    /// Starts one that takes plain HTTP from its own pod to the workload `server` at `address`, each request by a handshake of its
    /// own.
    static func dial(from pod: RunningPod, _ world: LabWorld, to address: String, own: String, server: String)
        async throws -> Envoy
    {
        let tls = transport("UpstreamTlsContext", (own, "spiffe://lab.example"), peer: server)
        let options: JSON = [
            "@type": .string(type + "upstreams.http.v3.HttpProtocolOptions"),
            "common_http_protocol_options": ["max_requests_per_connection": 1],
            "explicit_http_config": ["http_protocol_options": [:]],
        ]
        let cluster = cluster("server", address: address, port: port, options: options)
            .merging(["transport_socket": ["name": "tls", "typed_config": tls]])
        let listener = listener("out", address: "127.0.0.1", port: 7000, route: ["route": ["cluster": "server"]])
        return try await Envoy(pod, world, listener: listener, clusters: [cluster])
    }

    private init(_ pod: RunningPod, _ world: LabWorld, listener: JSON, clusters: [JSON]) async throws {
        self.pod = pod
        let options: JSON = [
            "@type": .string(Self.type + "upstreams.http.v3.HttpProtocolOptions"),
            "explicit_http_config": ["http2_protocol_options": [:]],
        ]
        let agent = Self.cluster(
            "podidentd", address: "169.254.169.254", port: LabSigner.endpointPort, options: options)
        let configuration: JSON = [
            "node": ["id": .string(pod.name), "cluster": "lab"],
            "admin": ["address": Self.address("127.0.0.1", 9901)],
            "static_resources": ["listeners": [listener], "clusters": .array([agent] + clusters)],
        ]
        let path = world.node.directory + "/envoy-\(pod.name).json"
        try Data(configuration.text.utf8).write(to: URL(fileURLWithPath: path))
        command = try pod.start([
            ClientPath.root + "/.build/clients/envoy", "-c", path, "--disable-hot-restart", "--concurrency", "1", "-l",
            "warning",
        ])
    }

    private static func address(_ address: String, _ port: Int) -> JSON {
        ["socket_address": ["address": .string(address), "port_value": .integer(Int64(port))]]
    }

    private static func listener(
        _ name: String, address: String, port: Int, route: JSON, socket: JSON? = nil
    ) -> JSON {
        let route = route.merging(["match": ["prefix": "/"]])
        let manager: JSON = [
            "@type": .string(type + "filters.network.http_connection_manager.v3.HttpConnectionManager"),
            "stat_prefix": .string(name),
            // ab speaks HTTP/1.0.
            "http_protocol_options": ["accept_http_10": true],
            "route_config": ["virtual_hosts": [["name": "all", "domains": ["*"], "routes": [route]]]],
            "http_filters": [
                ["name": "router", "typed_config": ["@type": .string(type + "filters.http.router.v3.Router")]]
            ],
        ]
        let chain: JSON = ["filters": [["name": "http", "typed_config": manager]]]
        return [
            "name": .string(name), "address": Self.address(address, port),
            "filter_chains": [socket.map { chain.merging(["transport_socket": $0]) } ?? chain],
        ]
    }

    private static func cluster(_ name: String, address: String, port: Int, options: JSON) -> JSON {
        let endpoint: JSON = ["endpoint": ["address": Self.address(address, port)]]
        return [
            "name": .string(name), "type": "STATIC", "connect_timeout": "5s",
            "load_assignment": ["cluster_name": .string(name), "endpoints": [["lb_endpoints": [endpoint]]]],
            "typed_extension_protocol_options": ["envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options],
        ]
    }

    /// TLS with the two secrets of these names, for a peer of exactly one ID.
    private static func transport(_ kind: String, _ names: (own: String, roots: String), peer: String) -> JSON {
        let source: JSON = [
            "resource_api_version": "V3",
            "api_config_source": [
                "api_type": "GRPC", "transport_api_version": "V3",
                "grpc_services": [
                    [
                        "envoy_grpc": [
                            "cluster_name": "podidentd",
                            "authority": .string("169.254.169.254:\(LabSigner.endpointPort)"),
                        ]
                    ]
                ],
            ],
        ]
        func secret(_ name: String) -> JSON { ["name": .string(name), "sds_config": source] }
        return [
            "@type": .string(type + "transport_sockets.tls.v3.\(kind)"),
            "common_tls_context": [
                "tls_certificate_sds_secret_configs": [secret(names.own)],
                "combined_validation_context": [
                    "default_validation_context": [
                        "match_typed_subject_alt_names": [["san_type": "URI", "matcher": ["exact": .string(peer)]]]
                    ],
                    "validation_context_sds_secret_config": secret(names.roots),
                ],
            ],
        ]
    }

    var log: String { command.errorLines.events.joined(separator: "\n") }

    /// Reads `path` of its administration endpoint.
    func admin(_ path: String) async throws -> String {
        try await pod.run("curl", "-s", "--max-time", "60", "http://127.0.0.1:9901" + path).output
    }

    /// The sum of the counters whose name ends so.
    func count(_ suffix: String) async throws -> Int {
        try await admin("/stats").split(separator: "\n").reduce(0) { sum, line in
            let parts = line.split(separator: " ")
            guard parts.count == 2, parts[0].hasSuffix(suffix + ":"), let value = Int(parts[1]) else { return sum }
            return sum + value
        }
    }

    /// The serial numbers of the certificates that it uses now.
    func serials() async throws -> Set<String> {
        let certificates = try JSON(parsing: Array(try await admin("/certs").utf8))["certificates"]?.array ?? []
        return Set(
            certificates.flatMap { $0["cert_chain"]?.array ?? [] }.compactMap { $0["serial_number"]?.string })
    }

    /// The HTTP status of one request to its plain listener; 0: it does not listen.
    func request() async throws -> Int {
        let result = try await pod.run(
            "curl", "-s", "--max-time", "10", "-o", "/dev/null", "-w", "%{http_code}", "http://127.0.0.1:7000/")
        return Int(result.output) ?? 0
    }

    func stop() async {
        command.signal(SIGKILL)
        _ = await command.result()
    }
}

extension JSON {
    /// The object with the members of another added.
    fileprivate func merging(_ other: JSON) -> JSON { .object((members ?? []) + (other.members ?? [])) }
}
