import Testing
import Tokens

@testable import GoogleMetadata
@testable import MetadataProtocol
@testable import MetadataServer

@Suite struct RequestQueryTests {
    @Test func `known keys are read and unknown ones ignored`() throws {
        let query = try RequestQuery(
            parsing: "recursive=True&alt=json&licenses=FALSE&wait_for_change=TRUE&last_etag=0&timeout_sec=2&x&=&&a=%20")
        #expect(query.isRecursive && query.waitsForChange)
        #expect(query.alternative == .json && query.lastETag == "0" && query.timeout == 2)
    }

    @Test(arguments: [
        "recursive", "recursive=", "recursive=1", "wait_for_change=yes",
    ])
    func `only true is true`(_ text: String) throws {
        let query = try RequestQuery(parsing: text)
        #expect(!query.isRecursive && !query.waitsForChange)
    }

    @Test(arguments: [
        "scopes=b,a", "scopes=a,,b,", "scopes=a%2Cb", "scopes=b+a", "scopes=a%20b", "scopes=a,b,a",
    ])
    func `scopes are a set`(_ text: String) throws {
        #expect(try RequestQuery(parsing: text).scopes == ScopeSet(["a", "b"]))
    }

    @Test(arguments: ["", "scopes=", "scopes=,", "other=1"])
    func `no scopes means the default`(_ text: String) throws {
        #expect(try RequestQuery(parsing: text).scopes == nil)
    }

    @Test(arguments: [
        "audience=a&audience=b", "scopes=a&scopes=a", "audience=a&audienc%65=b", "timeout_sec=abc", "timeout_sec=-1",
        "timeout_sec=99999999999999999999", "timeout_sec=", "enforce_scopes=false", "enforce_scopes=", "alt=xml",
        "audience=%", "x=%zz", "audience=%ff", "audience=%0a", "audience=%E2%84%AA", "scopes=a%22b", "scopes=%5C",
    ])
    func `what cannot be meant is refused`(_ text: String) {
        #expect(throws: RequestRefusal.self) { try RequestQuery(parsing: text) }
    }

    @Test func `a query has so many parameters and no more`() throws {
        let parameters = (1...64).map { "p\($0)" }
        _ = try RequestQuery(parsing: parameters.joined(separator: "&"))
        for text in [(parameters + ["alt=json"]).joined(separator: "&"), String(repeating: "&", count: 8_000)] {
            #expect(throws: RequestRefusal.self) { try RequestQuery(parsing: text) }
        }
    }

    @Test func `a request names so many scopes and no more`() throws {
        let names = (1...128).map { "s\($0)" }
        #expect(try RequestQuery(parsing: "scopes=" + names.joined(separator: ",")).scopes?.sorted.count == 128)
        for separator in [",", "%20", "+"] {
            let text = "scopes=" + (names + ["one-more"]).joined(separator: separator)
            #expect(throws: RequestRefusal.self) { try RequestQuery(parsing: text) }
        }
        #expect(throws: RequestRefusal.self) {
            try RequestQuery(parsing: "scopes=" + String(repeating: ",", count: 8_000))
        }
    }

    @Test func `scopes and audiences are so long and no longer`() throws {
        for (name, limit) in [("scopes", 4096), ("audience", 1024)] {
            _ = try RequestQuery(parsing: "\(name)=" + String(repeating: "a", count: limit))
            #expect(throws: RequestRefusal.self) {
                try RequestQuery(parsing: "\(name)=" + String(repeating: "a", count: limit + 1))
            }
        }
    }

    @Test func `an audience may be escaped or not`() throws {
        for text in ["audience=https://x/y?z=1:2", "audience=https%3A%2F%2Fx%2Fy%3Fz%3D1%3A2"] {
            #expect(try RequestQuery(parsing: text).audience == "https://x/y?z=1:2")
        }
    }
}
