/// Bytes that a client sends on one connection, and the statuses of all answers to them.
struct RequestCase: Sendable {
    let name: String
    /// The bytes, with `\r`, `\n` and `\xNN` as the attack program reads them.
    let bytes: String
    /// The statuses in order; in words of the attack program.
    let statuses: String

    private static let host = #"Host: metadata.google.internal\r\n"#
    private static let flavor = #"Metadata-Flavor: Google\r\n"#
    private static let token = AttackSuite.tokenPath
    private static let end = #"\r\n"#

    private init(_ name: String, _ bytes: String, _ statuses: String) {
        self.name = name
        self.bytes = bytes
        self.statuses = statuses
    }

    /// A request as `headers` has it, with a Host.
    private static func request(_ line: String, _ headers: String = "") -> String {
        line + #" HTTP/1.1\r\n"# + host + headers + end
    }

    private static func get(_ target: String, _ headers: String = "") -> String {
        request("GET " + target, headers)
    }

    /// A request that asks as clients should.
    private static func proper(_ target: String) -> String { get(target, flavor) }

    /// A request whose body are the bytes of another.
    private static func withBody(_ body: String) -> String {
        let length = body.replacing(#"\r\n"#, with: "--").utf8.count
        return get("/", #"Content-Length: \#(length)\r\n"#) + body
    }

    // MARK: The token without the header that no browser and no proxy adds

    static let afterAnother = [
        RequestCase("GET /x, then the token", get("/x") + get(token), "403 403"),
        RequestCase("GET / with the header, then the token", get("/", flavor) + get(token), "200 403"),
        RequestCase("404 with the header, then the token", proper("/x") + get(token), "404 403"),
        RequestCase(
            "POST with a body, then the token", request("POST /x", #"Content-Length: 3\r\n"#) + "abc" + get(token),
            "403 403"),
    ]

    static let otherMethods =
        ["POST", "HEAD", "PUT", "OPTIONS", "DELETE", "PATCH", "TRACE"].flatMap { method in
            [RequestCase("\(method) without the header", request("\(method) \(token)"), "403")]
                + (method == "HEAD"
                    ? [] : [RequestCase("\(method) with it", request("\(method) \(token)", flavor), "405")])
        } + [
            RequestCase("OPTIONS *", request("OPTIONS *", flavor), "400"),
            RequestCase("CONNECT 169.254.169.254:80", request("CONNECT 169.254.169.254:80", flavor), "400"),
            RequestCase("an unknown method", request("STEAL \(token)", flavor), "400"),
        ]

    static let otherForms = [
        RequestCase("absolute-form", get("http://169.254.169.254\(token)"), "403"),
        RequestCase("absolute-form of another server", get("http://evil.example\(token)", flavor), "403"),
        RequestCase("absolute-form with https", get("https://169.254.169.254\(token)", flavor), "400"),
        RequestCase(
            "absolute-form with credentials", get("http://metadata.google.internal@evil\(token)", flavor), "403"),
        RequestCase("authority-form", get("169.254.169.254:80", flavor), "400"),
        RequestCase("HTTP/0.9", "GET \(token)" + end + end, "400"),
        RequestCase("HTTP/1.0 without Host", #"GET \#(token) HTTP/1.0\r\n\r\n"#, "403"),
        RequestCase("HTTP/2 preface", #"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"#, "400"),
    ]

    static let otherSpellings =
        [
            "//computeMetadata/v1/instance/service-accounts/default/token", "/.\(token)", "/x/..\(token)",
            "/%2e\(token)",
            "/x/%2e%2e\(token)", "/%63omputeMetadata/v1/instance/service-accounts/default/token", "\(token)/",
            "\(token)?x",
            "\(token);x", "/\(token)//",
        ].map { RequestCase("\($0) without the header", get($0), "403") }
        + [
            "/x%2f..\(token)", "\(token)%00", "/%2f\(token)", "/%252e\(token)", "/computeMetadata%5cv1/",
            "/../..\(token)",
            "/computeMetadata/v1/../../..\(token)", "\(token)%", "\(token)%zz", "/%e2%80%8b\(token)", "/%c0%ae\(token)",
            "/computeMetadata/v1/inst\u{e4}nce/", "/computeMetadata/v1/insta\u{308}nce/",
            #"/computeMetadata/v1/\xff\xfe"#,
            #"/computeMetadata/v1/\x00"#, #"/computeMetadata/v1\\instance"#, "\(token)#x",
        ].map { RequestCase("\($0) with it", get($0, flavor), "400") }

    static let otherHeaders = [
        ("in small letters", #"Metadata-Flavor: google\r\n"#, "403"), ("empty", #"Metadata-Flavor:\r\n"#, "403"),
        ("with an underscore", #"Metadata_Flavor: Google\r\n"#, "403"), ("twice", flavor + flavor, "400"),
        ("and X-Forwarded-For", flavor + #"X-Forwarded-For: 10.0.0.1\r\n"#, "403"),
        ("and an empty X-Forwarded-For", flavor + #"X-Forwarded-For:\r\n"#, "403"),
        ("folded", #"Metadata-Flavor:\r\n Google\r\n"#, "400"),
        ("folded into another", #"X: y\r\n Metadata-Flavor: Google\r\n"#, "400"),
        ("with a space before the colon", #"Metadata-Flavor : Google\r\n"#, "400"),
        ("with a zero byte", #"Metadata-Flavor: Goo\x00gle\r\n"#, "400"),
        ("after a bare carriage return", #"X: y\rMetadata-Flavor: Google\r\n"#, "400"),
    ].map { RequestCase("header \($0.0)", get(token, $0.1), $0.2) }

    static let hosts = [
        ("Host of another server", #"Host: evil.example\r\n"#, "403"),
        ("Host twice", #"Host: metadata.google.internal\r\nHost: evil.example\r\n"#, "400"),
        ("no Host", "", "400"),
        ("Host with a trailing zero byte", #"Host: metadata.google.internal\x00\r\n"#, "400"),
        ("Host in canonically equivalent letters", #"Host: metadata.google.\#("inte\u{301}rnal")\r\n"#, "403"),
    ].map { RequestCase($0.0, #"GET \#(token) HTTP/1.1\r\n"# + $0.1 + flavor + end, $0.2) }

    // MARK: Where one request ends and the next begins

    static let framing = [
        RequestCase(
            "two Content-Lengths", get("/", #"Content-Length: 0\r\nContent-Length: 90\r\n"#) + proper(token), "400"),
        RequestCase(
            "Content-Length and Transfer-Encoding",
            get("/", #"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n"#) + #"0\r\n\r\n"# + get(token), "400"),
        RequestCase(
            "Transfer-Encoding of two",
            get("/", #"Transfer-Encoding: chunked, identity\r\n"#) + #"0\r\n\r\n"# + get(token), "400"),
        RequestCase("a token request as a body", withBody(proper(token)), "200"),
        RequestCase(
            "a token request in a chunk", get("/", #"Transfer-Encoding: chunked\r\n"#) + #"5\r\nGET /\r\n0\r\n\r\n"#,
            "200"),
        RequestCase(
            "a chunk of a negative size", get("/", #"Transfer-Encoding: chunked\r\n"#) + #"-1\r\n\r\n"# + get(token),
            "400"),
        RequestCase("Content-Length +5", get("/", #"Content-Length: +5\r\n"#) + "GET /" + get(token), "400"),
        RequestCase("a space in the request line", "GET  \(token)" + #" HTTP/1.1\r\n"# + host + end, "403"),
        RequestCase(
            "lines that end in a bare line feed", #"GET \#(token) HTTP/1.1\nHost: metadata.google.internal\n\n"#, "400"),
    ]

    static let sizes = [
        RequestCase(
            "a path of 9,000 bytes", proper("/computeMetadata/v1/" + String(repeating: "a", count: 9_000)), "414"),
        RequestCase(
            "the same without the header", get("/computeMetadata/v1/" + String(repeating: "a", count: 9_000)), "414"),
        RequestCase("a header of 64 KiB", get(token, "X: " + String(repeating: "a", count: 65_536) + end), "431"),
        RequestCase("150 headers", get(token, String(repeating: #"X: y\r\n"#, count: 150)), "431"),
        RequestCase(
            "a body of 70,000 bytes",
            request("POST \(token)", #"Content-Length: 70000\r\n"#) + String(repeating: "b", count: 70_000), "413"),
    ]
}
