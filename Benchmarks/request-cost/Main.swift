import Glibc
import GoogleMetadata
import Logging
import MetadataServer
import NIOCore
import NIOPosix
import Tokens

/// Serves cached tokens to a client of its own, so that an instruction counter can tell what a request costs:
/// `request-cost keep|new REQUESTS`. See `.ci/cost`.
@main
struct RequestCost {
    static func main() async throws {
        let arguments = CommandLine.arguments
        if arguments.count == 5, arguments[1] == "client", let port = UInt16(arguments[2]) {
            try CountingClient(port: port).run(Load(arguments[3], arguments[4]))
        } else if arguments.count == 3 {
            try await serve(Load(arguments[1], arguments[2]))
        } else {
            throw CostError("usage: request-cost keep|new REQUESTS")
        }
    }

    private static func serve(_ load: Load) async throws {
        let backend = try CountedBackend()
        let observer = CountingObserver()
        let fetches = Task { await backend.tokens.run() }
        // One loop: which of several serves a connection would be chance, and so would be the count.
        let loops = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let google = GoogleMetadataRoom(
            GoogleMetadataConfiguration(
                projectID: "project", numericProjectID: 1, poolName: "project.svc.id.goog",
                identityProvider: "//iam.googleapis.com/provider", subjectTokenAudience: "https://wif.example"),
            besides: []
        ) {
            InstanceAttributes(
                id: 1, hostname: "node", name: "node", zone: "zone", clusterName: "cluster",
                clusterLocation: "location", clusterUID: "uid")
        }
        let server = MetadataServer(
            backend: backend, rooms: [google], readTag: { _ in CountedBackend.tag }, eventLoopGroup: loops,
            logger: Logger(label: "request-cost") { _ in SwiftLogNoOpLogHandler() }, observer: observer)
        let (listener, port) = try Loopback.listen()
        // As in a pod's own network namespace.
        try server.start(onListeningSocket: listener, waitsForBytes: true)
        try await ChildProcess.run(["client", "\(port)", load.connections.rawValue, "\(load.requests)"])
        await server.shutDownGracefully(within: .seconds(1))
        fetches.cancel()
        await fetches.value
        try await loops.shutdownGracefully()
        guard observer.answered == load.requests else {
            throw CostError("\(observer.answered) of \(load.requests) requests were counted")
        }
    }
}

/// How many requests, and on what.
struct Load {
    enum Connections: String {
        case keptAlive = "keep"
        case new
    }

    var connections: Connections
    var requests: Int

    init(_ connections: String, _ requests: String) throws {
        guard let connections = Connections(rawValue: connections), let requests = Int(requests), requests > 0 else {
            throw CostError("usage: request-cost keep|new REQUESTS")
        }
        (self.connections, self.requests) = (connections, requests)
    }
}

struct CostError: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) {
        self.description = description
    }
}
