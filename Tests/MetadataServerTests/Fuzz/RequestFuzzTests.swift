import Foundation
import Fuzzing
import NIOCore
import NIOEmbedded
import Testing

@testable import MetadataProtocol
@testable import MetadataServer

/// Any bytes as a connection, through the real pipeline: it answers well-formed and in order, ends, and gives no token to
/// a request that did not ask as a metadata client does.
@Suite(.timeLimit(.minutes(10))) struct RequestFuzzTests {
    private static let tokenPath = "/computeMetadata/v1/instance/service-accounts/default/token"
    private static let words = [
        "GET ", "POST ", "HEAD ", "OPTIONS ", "CONNECT ", "PRI ", " HTTP/1.1\r\n", " HTTP/1.0\r\n", " HTTP/0.9\r\n",
        "\r\n", "\n", "\r", "\r\n\r\n", " ", "\t", ":", ",", "/", "//", "/./", "/../", "%2f", "%2e%2e", "%00", "%25",
        "?", "#", "&", "=", "*", "http://", "https://metadata", "@", "\\", "\u{0}", "\u{7f}", "\u{ff}", tokenPath,
        "Host: metadata\r\n", "Host: evil.example\r\n", "Host:\r\n", "Metadata-Flavor: Google\r\n",
        "Metadata-Flavor:\tGoogle \r\n", "Metadata-Flavor: google\r\n", "X-Forwarded-For: 1.2.3.4\r\n",
        "Content-Length: 0\r\n", "Content-Length: 3\r\n", "Content-Length: 00003\r\n", "Content-Length: +3\r\n",
        "Content-Length: 9223372036854775808\r\n", "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding:\u{b}chunked\r\n",
        "Transfer-Encoding: Chunked, chunked\r\n", "0\r\n\r\n", "3\r\nabc\r\n", "ffffffffffffffff\r\n", "3;ext=\"\r\n",
        "Connection: close\r\n", "Connection: keep-alive\r\n", "Upgrade: h2c\r\n", "Expect: 100-continue\r\n",
        "wait_for_change=true&", "timeout_sec=1&", "recursive=true&", "scopes=a,b&", "audience=x&", "alt=text&",
    ]

    @Test("whatever bytes come, the answers are well-formed, the connection ends, and no token goes astray")
    func bytes() async throws {
        let corpus = try Self.corpus()
        for file in corpus { try await Self.check([file.bytes], "corpus \(file.name)") }
        let mutator = Mutator(seeds: corpus.map(\.bytes), words: Self.words, limit: 32 * 1024)
        var tokens = 0
        for seed in 1...UInt64(FuzzRun.iterations(usual: 2_500)) {
            var random = FuzzGenerator(seed: seed)
            let input = mutator.input(&random)
            FuzzRun.note(input)
            tokens += try await Self.check(Self.cut(input, &random), "seed \(seed)")
        }
        #expect(tokens > 20, "the generator must reach what it is to test")
    }

    @Test("of well-formed requests in one connection, each gets its own answer, in order")
    func pipelines() async throws {
        for seed in 1...UInt64(FuzzRun.iterations(usual: 1_000)) {
            var random = FuzzGenerator(seed: seed)
            let requests = (0..<Int.random(in: 1...6, using: &random)).map { _ in Self.request(&random) }
            let input = Array(requests.map(\.text).joined().utf8)
            FuzzRun.note(input)
            let output = try await Self.answers(to: Self.cut(input, &random))
            let answers = try AnswerStream(parsing: output).answers
            let statuses = answers.map(\.status)
            #expect(statuses == requests.map(\.status), "seed \(seed): \(FuzzRun.text(input))")
            for (request, answer) in zip(requests, answers) {
                #expect(Self.holdsToken(answer) == request.isToken, "seed \(seed): \(FuzzRun.text(input))")
            }
        }
    }

    @Test("what a connection is answered does not depend on what is known from others")
    func knownRequests() async throws {
        let corpus = try Self.corpus()
        let mutator = Mutator(seeds: corpus.map(\.bytes), words: Self.words, limit: 8_192)
        let known = RequestCache()
        for seed in 1...UInt64(FuzzRun.iterations(usual: 500)) {
            var random = FuzzGenerator(seed: seed)
            // Mostly requests of which each comes in a read of its own, and now and then anything.
            let pieces = (0..<Int.random(in: 1...5, using: &random)).map { _ in
                Int.random(in: 0..<8, using: &random) == 0
                    ? mutator.input(&random) : Array(Self.request(&random).text.utf8)
            }
            FuzzRun.note(pieces.flatMap(\.self))
            let usual = try await Self.answers(to: pieces)
            for _ in 1...2 {
                let output = try await Self.answers(to: pieces, known: known)
                #expect(output == usual, "seed \(seed): \(FuzzRun.text(pieces.flatMap(\.self)))")
            }
        }
        #expect(known.count > 0)
    }

    @Test("a target that reaches the token has the token's path, read by a second reader")
    func targets() throws {
        let words = Self.words.filter { !$0.contains("\n") } + ["computeMetadata", "v1", "instance", "%63", ".", ".."]
        let seeds = [
            Self.tokenPath, "/computeMetadata//v1/./x/../instance/service-accounts/default/token?a=b",
            "http://metadata.google.internal\(Self.tokenPath)", "/%63omputeMetadata/v1/instance/",
            "/computeMetadata/v1/instance/service-accounts/a%40b.c/identity?audience=x",
        ].map { Array($0.utf8) }
        let mutator = Mutator(seeds: seeds, words: words, limit: 8_192)
        var accepted = 0
        FuzzRun.seeds(usual: 15_000) { seed in
            var random = FuzzGenerator(seed: seed)
            let input = mutator.input(&random)
            FuzzRun.note(input)
            let text = String(decoding: input, as: UTF8.self)
            guard let target = try? RequestTarget(parsing: text) else { return }
            accepted += 1
            #expect(target.path == Self.path(of: text), "seed \(seed): \(FuzzRun.text(input))")
            #expect((try? RequestTarget(parsing: target.path))?.path == target.path, "\(FuzzRun.text(input))")
            #expect(!target.path.contains("//") && !target.path.contains("/../") && !target.path.contains("/./"))
        }
        #expect(accepted > 500)
    }

    // MARK: - The connection

    /// Checks what holds for any bytes; returns how many tokens were given.
    @discardableResult
    private static func check(_ pieces: [[UInt8]], _ name: String) async throws -> Int {
        let input = pieces.flatMap(\.self)
        let output = try await answers(to: pieces)
        let answers: [AnswerStream.Answer]
        do {
            answers = try AnswerStream(parsing: output).answers
        } catch {
            Issue.record("\(name): \(error), for \(FuzzRun.text(input))")
            return 0
        }
        let tokens = answers.count(where: holdsToken)
        #expect(tokens <= flavors(in: input), "\(name): a token without the header, for \(FuzzRun.text(input))")
        for answer in answers.dropLast() where answer.closes {
            Issue.record("\(name): an answer after the last one, for \(FuzzRun.text(input))")
        }
        return tokens
    }

    /// Everything that a connection answers to these pieces and to their end.
    private static func answers(
        to pieces: [[UInt8]], known: RequestCache = RequestCache()
    ) async throws -> [UInt8] {
        let backend = FakeBackend()
        backend.update { $0.isTokenCached = true }
        let connection = try await TestConnection(backend, known: known)
        for piece in pieces where connection.isOpen { _ = try? await connection.send(piece) }
        // A wait for an upstream is a task's, and not on the connection's clock.
        for _ in 0..<20 where connection.isOpen { await Task.yield() }
        if connection.isOpen { try await connection.fire(ChannelEvent.inputClosed) }
        if connection.isOpen { await connection.advance(by: .hours(2)) }
        #expect(!connection.isOpen, "a connection did not end: \(FuzzRun.text(pieces.flatMap(\.self)))")
        var output: [UInt8] = []
        while let bytes = try await connection.channel.readOutbound(as: ByteBuffer.self) {
            output += bytes.readableBytesView
        }
        await connection.close()
        return output
    }

    private static func cut(_ bytes: [UInt8], _ random: inout FuzzGenerator) -> [[UInt8]] {
        var pieces: [[UInt8]] = []
        var rest = bytes[...]
        let size = random.pick([1, 7, 100, 4_096])
        while !rest.isEmpty {
            let length = pieces.count > 200 ? rest.count : Int.random(in: 1...size, using: &random)
            pieces.append(Array(rest.prefix(length)))
            rest = rest.dropFirst(length)
        }
        return pieces
    }

    private static func holdsToken(_ answer: AnswerStream.Answer) -> Bool {
        let body = String(decoding: answer.body, as: UTF8.self)
        return ["ya29.", "access_token", ".signature"].contains { body.contains($0) }
    }

    /// Lines that say `Metadata-Flavor: Google`.
    private static func flavors(in input: [UInt8]) -> Int {
        input.split(separator: UInt8(ascii: "\n")).count { line in
            let text = String(decoding: line, as: UTF8.self)
            return text.lowercased().hasPrefix("metadata-flavor:") && text.contains("Google")
        }
    }

    private static func corpus() throws -> [(name: String, bytes: [UInt8])] {
        try FuzzRun.corpus(try #require(Bundle.module.url(forResource: "Corpus", withExtension: nil)))
    }

    // MARK: - The second reader

    /// A target's path by splitting and joining, for targets that are accepted.
    private static func path(of target: String) -> String {
        var path = target[...]
        if !path.hasPrefix("/") {
            path = path.dropFirst("http://".count)
            path = path[(path.firstIndex { "/?".contains($0) } ?? path.endIndex)...]
        }
        path = path.prefix { $0 != "?" }
        var names: [String] = []
        var endsInSlash = true
        for part in path.split(separator: "/", omittingEmptySubsequences: false) {
            let name = part.removingPercentEncoding ?? "?"
            switch name {
            case "", ".": endsInSlash = true
            case "..":
                names.removeLast()
                endsInSlash = true
            default:
                names.append(name)
                endsInSlash = false
            }
        }
        return names.isEmpty ? "/" : "/" + names.joined(separator: "/") + (endsInSlash ? "/" : "")
    }

    private struct Request {
        var text: String
        var status: Int
        var isToken: Bool
    }

    private static func request(_ random: inout FuzzGenerator) -> Request {
        let hasFlavor = !random.oneIn(3)
        let host = random.pick(["metadata", "metadata.google.internal.", "169.254.169.254:80"])
        let fields = "Host: \(host)\r\n" + (hasFlavor ? "metadata-flavor: Google\r\n" : "")
        let body = random.pick(["", "Content-Length: 4\r\n", "Transfer-Encoding: chunked\r\n"])
        let content = body.isEmpty ? "" : body.hasPrefix("C") ? "GET " : "4\r\nGET \r\n0\r\n\r\n"
        let (path, status) = random.pick([
            (tokenPath, 200), ("/", 200), ("/computeMetadata/v1/project/project-id", 200), ("/nope", 404),
            ("/computeMetadata//v1/instance/./service-accounts/x/../default/token", 200),
        ])
        let method = random.pick(["GET", "GET", "HEAD", "POST"])
        let answer = !hasFlavor && path != "/" ? 403 : method == "POST" && status == 200 ? 405 : status
        return Request(
            text: "\(method) \(path) HTTP/1.1\r\n\(fields)\(body)\r\n\(content)",
            status: answer,
            isToken: method == "GET" && hasFlavor && path.hasSuffix("token")
        )
    }
}
