import ArgumentParser
import Foundation
import Lab

/// Asks the SPIFFE endpoint, inside a pod, what no real client asks.
struct WorkloadCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "workload", abstract: "Makes one raw call of the SPIFFE Workload API, and prints the answer.",
        shouldDisplay: false
    )

    @Option(help: "The server's IP address.")
    var address = "169.254.169.254"
    @Option(help: "The server's port.")
    var port = LabSigner.endpointPort
    @Option(help: "The server's Unix socket, in place of the address.")
    var socket: String?
    @Option(help: "The number of a connected socket, in place of the address.")
    var descriptor: CInt?
    @Option(help: "The path, or the name of a method.")
    var path = "FetchX509SVID"
    @Option(help: "The :authority. Default: address and port.")
    var authority: String?
    @Option(help: "A header as NAME=VALUE; may be repeated. Default: the security header.")
    var header: [String] = []
    @Flag(help: "Sends no security header.")
    var bare = false
    @Option(help: "The body in hexadecimal, with its frame. Default: an empty message.")
    var body: String?
    @Option(help: "So many zero bytes as the message instead.")
    var zeros: Int?
    @Option(help: "How many messages to wait for; 0: until the stream ends.")
    var messages = 1

    func run() async throws {
        var request = WorkloadRequest()
        request.path = path.hasPrefix("/") ? path : "/SpiffeWorkloadAPI/" + path
        request.authority = authority ?? (address.contains(":") ? "[\(address)]:\(port)" : "\(address):\(port)")
        let given = header.map { text in
            let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            return (String(parts[0]), parts.count > 1 ? String(parts[1]) : "")
        }
        if bare || given.contains(where: { $0.0 == "workload.spiffe.io" }) { request.headers = [] }
        request.headers += given
        if let body { request.body = Self.bytes(body) }
        if let zeros {
            let length = (0..<4).map { UInt8(truncatingIfNeeded: zeros >> (24 - 8 * $0)) }
            request.body = [0] + length + [UInt8](repeating: 0, count: zeros)
        }
        request.messages = messages == 0 ? nil : messages
        let answer = try await WorkloadProbe.call(request, endpoint)
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys]
        print(String(decoding: try encoder.encode(answer), as: UTF8.self))
    }

    private var endpoint: WorkloadProbe.Endpoint {
        if let descriptor { return .descriptor(descriptor) }
        return socket.map { .unix(path: $0) } ?? .tcp(host: address, port: port)
    }

    private static func bytes(_ text: String) -> [UInt8] {
        stride(from: 0, to: text.count - 1, by: 2).compactMap { offset in
            let start = text.index(text.startIndex, offsetBy: offset)
            return UInt8(text[start..<text.index(start, offsetBy: 2)], radix: 16)
        }
    }
}
