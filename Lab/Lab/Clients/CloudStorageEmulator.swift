import Crypto
import Foundation
import NIOHTTP1

/// A Google Cloud Storage that holds one bucket with one object, and gives it to every bearer of a living access token.
package final class CloudStorageEmulator: Sendable {
    package static let bucket = "lab-bucket"
    package static let objectName = "greeting.txt"
    package static let content = "hello from the lab"

    /// The callers whose tokens were accepted, once a request.
    package let callers = EventLog<LabTokenRecord>()
    private let ledger: LabTokenLedger
    private let clock: LabClock

    package init(ledger: LabTokenLedger, clock: LabClock) {
        self.ledger = ledger
        self.clock = clock
    }

    /// Answers one request of the JSON API.
    package func handle(_ request: LabRequest) async -> LabResponse {
        guard let caller = caller(of: request) else {
            let message = "Anonymous caller does not have storage.objects.get access, or the token is not valid."
            return Self.error(401, message, headers: [("WWW-Authenticate", "Bearer")])
        }
        guard request.method == "GET" else { return Self.error(405, "Only reading is possible here.") }
        callers.record(caller)
        let host = request.headers.first(name: "Host") ?? ""
        let bucket = "/storage/v1/b/\(Self.bucket)"
        let objects = "\(bucket)/o"
        switch request.path {
        case bucket:
            return .json(200, ["kind": "storage#bucket", "name": .string(Self.bucket), "location": "EUROPE-WEST1"])
        case objects:
            return .json(200, ["kind": "storage#objects", "items": .array([Self.object(host: host)])])
        case "\(objects)/\(Self.objectName)" where request.query("alt") != "media":
            return .json(200, Self.object(host: host))
        case "\(objects)/\(Self.objectName)", "/download\(objects)/\(Self.objectName)":
            let headers = [("x-goog-hash", "md5=\(Self.digest)"), ("x-goog-generation", "1")]
            return .text(200, Self.content, contentType: "text/plain", headers: headers)
        default:
            return Self.error(404, "No such object.")
        }
    }

    private func caller(of request: LabRequest) -> LabTokenRecord? {
        guard let token = request.bearerToken, let record = ledger.describe(token), clock.now < record.expires else {
            return nil
        }
        if case .identity = record.kind { return nil }
        let accepted = ["auth/cloud-platform", "auth/devstorage.full_control", "auth/devstorage.read_only"]
        return record.scopes.contains { scope in accepted.contains { scope.hasSuffix($0) } } ? record : nil
    }

    private static let digest = Data(Insecure.MD5.hash(data: Data(content.utf8))).base64EncodedString()

    private static func object(host: String) -> JSON {
        let path = "storage/v1/b/\(bucket)/o/\(objectName)"
        return [
            "kind": "storage#object", "bucket": .string(bucket), "name": .string(objectName), "generation": "1",
            "contentType": "text/plain", "size": .string(String(content.utf8.count)), "md5Hash": .string(digest),
            "updated": "2026-01-01T00:00:00Z", "timeCreated": "2026-01-01T00:00:00Z",
            "selfLink": .string("http://\(host)/\(path)"),
            "mediaLink": .string("http://\(host)/download/\(path)?generation=1&alt=media"),
        ]
    }

    private static func error(
        _ status: Int, _ message: String, headers: [(name: String, value: String)] = []
    ) -> LabResponse {
        .json(status, ["error": ["code": .integer(Int64(status)), "message": .string(message)]], headers: headers)
    }
}
