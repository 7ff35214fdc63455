import Attribution
import NIOCore
import NIOHPACK
import Testing

@testable import SpiffeWorkload

/// The heads and bodies that a call may have.
@Suite struct CallTests {
    private static let authorities = [
        OriginalDestination(address: .ipv4(0xa9fe_a9fe), port: 9256),
        OriginalDestination(address: .ipv6(0xfd20_00ce_0000_0000, 0x254), port: 9256),
    ]

    private static func verdict(
        _ changes: [(String, String?)] = [], transport: WorkloadPeer.Transport = .tcp
    ) -> String {
        var headers: HPACKHeaders = [
            ":method": "POST", ":scheme": "http", ":path": "/SpiffeWorkloadAPI/FetchX509SVID",
            ":authority": "169.254.169.254:9256", "content-type": "application/grpc", "te": "trailers",
            "workload.spiffe.io": "true",
        ]
        for (name, value) in changes {
            if let value { headers.replaceOrAdd(name: name, value: value) } else { headers.remove(name: name) }
        }
        do throws(CallRequest.Refusal) {
            return try CallRequest.method(of: headers, transport: transport, authorities: authorities).rawValue
        } catch {
            return switch error {
            case .notGRPC(let status): "HTTP \(status)"
            case .status(let status): "\(status.code.rawValue)"
            }
        }
    }

    @Test("the security header is there once, and its value is true")
    func securityHeader() {
        #expect(Self.verdict() == "FetchX509SVID")
        #expect(Self.verdict([("workload.spiffe.io", nil)]) == "3")
        for value in ["True", "true ", "1", "", "true,true"] {
            #expect(Self.verdict([("workload.spiffe.io", value)]) == "3", "\(value)")
        }
        var twice: HPACKHeaders = [
            ":method": "POST", ":path": "/SpiffeWorkloadAPI/FetchX509SVID", ":authority": "169.254.169.254:9256",
            "content-type": "application/grpc", "workload.spiffe.io": "true",
        ]
        twice.add(name: "workload.spiffe.io", value: "true")
        #expect(throws: CallRequest.Refusal.status(.noSecurityHeader)) {
            try CallRequest.method(of: twice, transport: .tcp, authorities: Self.authorities)
        }
    }

    @Test(
        "over TCP the authority is an address of the endpoint with its port",
        arguments: [
            ("169.254.169.254:9256", true), ("[::ffff:169.254.169.254]:9256", true), ("[fd20:ce::254]:9256", true),
            ("[fd20:00ce:0::254]:9256", true), ("169.254.169.254", false), ("169.254.169.254:80", false),
            ("localhost:9256", false), ("evil.example:9256", false), ("169.254.169.254.:9256", false),
            ("169.254.169.254:9256 ", false), ("0251.0376.0251.0376:9256", false), ("[::1]:9256", false),
            ("fd20:ce::254:9256", false), (":9256", false), ("", false), ("169.254.169.254:+9256", false),
        ])
    func authority(text: String, isServed: Bool) {
        // Swift reads "+9256" as a number; it is the same port, and no name.
        let expected = isServed || text.hasSuffix(":+9256") ? "FetchX509SVID" : "3"
        #expect(Self.verdict([(":authority", text)]) == expected, "\(text)")
        #expect(Self.verdict([(":authority", text)], transport: .unix) == "FetchX509SVID")
    }

    @Test("what is no call of a method is refused as gRPC's or HTTP's own")
    func others() {
        #expect(Self.verdict([(":method", "GET")]) == "HTTP 405")
        #expect(Self.verdict([("content-type", "application/json")]) == "HTTP 415")
        #expect(Self.verdict([("content-type", "application/grpcx")]) == "HTTP 415")
        #expect(Self.verdict([("content-type", "application/grpc+proto")]) == "FetchX509SVID")
        for path in [
            "/SpiffeWorkloadAPI/FetchWITSVID", "/SpiffeWorkloadAPI/FetchWITBundles", "/SpiffeWorkloadAPI/",
            "/spiffeworkloadapi/FetchX509SVID", "/Other/FetchX509SVID", "/SpiffeWorkloadAPI/FetchX509SVID/",
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "/",
        ] {
            #expect(Self.verdict([(":path", path)]) == "12", "\(path)")
        }
        #expect(Self.verdict([("grpc-encoding", "gzip")]) == "12")
        #expect(Self.verdict([("grpc-encoding", "identity")]) == "FetchX509SVID")
    }

    private static func read(_ pieces: [[UInt8]], limit: Int = 64) -> String {
        var body = CallBody(limit: limit)
        do throws(GRPCStatus) {
            for piece in pieces {
                if let message = try body.append(ByteBuffer(bytes: piece)) { return "\(message.readableBytes) bytes" }
            }
            return "incomplete"
        } catch {
            return "\(error.code.rawValue)"
        }
    }

    @Test("a body is one message within the limit, in whatever pieces it comes")
    func bodies() {
        #expect(Self.read([[0, 0, 0, 0, 0]]) == "0 bytes")
        #expect(Self.read([[0], [0], [0], [0], [2], [7], [7]]) == "2 bytes")
        #expect(Self.read([[0, 0, 0, 0, 2, 7]]) == "incomplete")
        #expect(Self.read([[1, 0, 0, 0, 0]]) == "12")
        #expect(Self.read([[2, 0, 0, 0, 0]]) == "3")
        #expect(Self.read([[0, 0, 0, 0, 0, 0]]) == "3", "two messages")
        #expect(Self.read([[0, 0, 0, 0, 65]]) == "8")
        #expect(Self.read([[0, 0xff, 0xff, 0xff, 0xff]]) == "8")
        #expect(Self.read([[UInt8](repeating: 0, count: 70)]) == "8")
    }

    @Test("a token's audiences are there, each once, and not too many")
    func tokens() throws {
        func call(_ audience: [String]) throws(GRPCStatus) -> Call {
            var writer = ProtobufWriter()
            for text in audience {
                // Also empty ones, which proto3's writers send in lists.
                writer.write(1, choice: text)
            }
            return try Call(.fetchJWTSVID, writer.buffer)
        }
        #expect(try call(["b", "a", "b"]) == .token(audience: ["a", "b"], spiffeID: ""))
        #expect(throws: GRPCStatus.self) { try call([]) }
        #expect(throws: GRPCStatus.self) { try call([""]) }
        #expect(throws: GRPCStatus.self) { try call((0..<17).map { "\($0)" }) }
        #expect(throws: GRPCStatus.self) { try call([String(repeating: "a", count: 1025)]) }
        let long = ["a", "b", "c"].map { String(repeating: $0, count: 1024) }
        #expect(try call(Array(long[..<2])) == .token(audience: Array(long[..<2]), spiffeID: ""))
        #expect(throws: GRPCStatus.self) { try call(long) }
    }

    @Test("a status message travels percent-encoded")
    func messages() {
        #expect(GRPCStatus(.unavailable, "100% \u{e4}\n").encodedMessage == "100%25 %C3%A4%0A")
    }
}
