import Foundation
import Fuzzing
import Testing

@testable import KubernetesAPI

/// Any text as a kubeconfig: it is read, or refused in a sentence without secrets.
@Suite(.timeLimit(.minutes(10))) struct KubeconfigFuzzTests {
    /// The corpus holds these; no error may repeat one, nor the base64 of the key.
    private static let secrets = ["TopSecretToken", "TopSecretKey", "VG9wU2VjcmV0S2V5"]
    private static let words = [
        "current-context", "clusters", "users", "contexts", "name", "cluster", "user", "server", "token", "tokenFile",
        "client-key-data", "client-certificate", "exec", "https://", "http://", ": ", "- ", "[", "]", "{", "}", "&a ",
        "*a", "!!binary ", "!!map ", "<<: *a", "|\n", ">\n", "\t", "\n", "\r\n", "---\n", "...\n", "%YAML 1.2\n", "\"",
        "'", "\\u0000", "\u{0}", "\u{feff}", "~", "null", "true", "0x7fffffffffffffffffff", "? ", "#", "@", "`",
    ]

    @Test("a kubeconfig is read, or refused without a secret")
    func reading() throws {
        let corpus = try kubernetesCorpus("kubeconfig")
        var (read, refused) = (0, 0)
        for file in corpus { Self.check(file.bytes, &read, &refused) }
        #expect(read == 3 && refused == 2)
        let mutator = Mutator(seeds: corpus.map(\.bytes), words: Self.words, limit: 16 * 1024)
        FuzzRun.seeds(usual: 4_000) { seed in
            var random = FuzzGenerator(seed: seed)
            let input = mutator.input(&random)
            FuzzRun.note(input)
            Self.check(input, &read, &refused)
        }
        #expect(read > 50 && refused > 1_000, "the generator must reach both: \(read), \(refused)")
    }

    @Test("nesting without end is refused, not followed", arguments: ["[", "{a: ", "- ", "? ", "{? "])
    func nesting(_ piece: String) {
        var (read, refused) = (0, 0)
        for count in [100, 1_000, 10_000, 100_000] {
            let text = "current-context: " + (piece.hasPrefix("[") || piece.hasPrefix("{") ? "" : "\n  ")
            Self.check(Array((text + String(repeating: piece, count: count)).utf8), &read, &refused)
        }
        #expect(refused == 4)
    }

    @Test("aliases of aliases take no memory")
    func aliases() {
        var (read, refused) = (0, 0)
        let bomb = (1...30).map { "a\($0): &a\($0) [*a\($0 - 1), *a\($0 - 1), *a\($0 - 1)]" }.joined(separator: "\n")
        Self.check(Array("a0: &a0 x\n\(bomb)\ncurrent-context: *a30\n".utf8), &read, &refused)
        #expect(refused == 1)
    }

    private static func check(_ input: [UInt8], _ read: inout Int, _ refused: inout Int) {
        do throws(KubernetesAPIError) {
            let text = String(decoding: input, as: UTF8.self)
            let config = try KubeconfigReader(path: "kubelet.conf", files: HostFiles()).read(text)
            #expect(!config.server.host.isEmpty && config.server.baseURL.hasPrefix("https://"))
            read += 1
        } catch {
            refused += 1
            for secret in secrets where error.description.contains(secret) {
                // A mutation may have made a secret of a name; names are no secrets.
                #expect(
                    error.description.contains("named") || error.key?.contains(secret) == true,
                    "\(error) repeats a secret of \(FuzzRun.text(input))")
            }
        }
    }
}

/// The files of one folder of the corpus.
func kubernetesCorpus(_ folder: String) throws -> [(name: String, bytes: [UInt8])] {
    let url = try #require(Bundle.module.url(forResource: "Corpus", withExtension: nil))
    return try FuzzRun.corpus(url.appending(path: folder))
}
