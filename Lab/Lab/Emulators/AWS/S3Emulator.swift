import Foundation
import NIOHTTP1

/// An S3 that holds one bucket with one object, and gives it to every caller that signs with living credentials of the
/// lab's STS.
package final class S3Emulator: Sendable {
    package static let bucket = "lab-bucket"
    package static let objectName = "greeting.txt"
    package static let content = "hello from the lab"

    /// The callers whose signatures were accepted, once a request.
    package let callers = EventLog<AWSCredentialRecord>()
    private let tokens: AWSSecurityTokenServiceEmulator

    package init(_ tokens: AWSSecurityTokenServiceEmulator) {
        self.tokens = tokens
    }

    package func handle(_ request: LabRequest) async -> LabResponse {
        guard let caller = caller(of: request) else {
            return Self.error(403, "SignatureDoesNotMatch", "The request is not signed with living credentials.")
        }
        callers.record(caller)
        let isHead = request.method == "HEAD"
        guard request.method == "GET" || isHead else { return Self.error(405, "MethodNotAllowed", "Only reading.") }
        switch request.path {
        case "/":
            return Self.xml(
                "ListAllMyBucketsResult", "<Buckets><Bucket><Name>\(Self.bucket)</Name></Bucket></Buckets>")
        case "/\(Self.bucket)" where request.query("location") != nil,
            "/\(Self.bucket)/" where request.query("location") != nil:
            return Self.xml("LocationConstraint", "eu-west-1")
        case "/\(Self.bucket)", "/\(Self.bucket)/":
            return isHead ? .text(200, "") : Self.listing
        case "/\(Self.bucket)/\(Self.objectName)":
            let headers = [
                ("ETag", "\"5d41402abc4b2a76b9719d911017c592\""), ("Last-Modified", Timestamp.http(tokens.clock.now)),
                ("Accept-Ranges", "bytes"),
            ]
            if let range = request.header("Range"), let part = Self.part(range) {
                let size = Self.content.utf8.count
                return .text(
                    206, String(Array(Self.content)[part]), contentType: "text/plain",
                    headers: headers + [("Content-Range", "bytes \(part.lowerBound)-\(part.upperBound - 1)/\(size)")])
            }
            return .text(200, Self.content, contentType: "text/plain", headers: headers)
        default:
            return Self.error(404, "NoSuchKey", "The specified key does not exist.")
        }
    }

    private func caller(of request: LabRequest) -> AWSCredentialRecord? {
        guard let signature = SignatureVersion4(request), let record = tokens.credentials(signature.accessKeyID),
            request.header("x-amz-security-token") == record.sessionToken, tokens.clock.now < record.expires,
            signature.isMade(by: record.secretAccessKey, over: request)
        else { return nil }
        return record
    }

    /// `bytes=A-B`, `bytes=A-` or `bytes=-N`, of ASCII content.
    private static func part(_ range: String) -> Range<Int>? {
        let size = content.utf8.count
        let sides = range.dropFirst("bytes=".count).split(separator: "-", omittingEmptySubsequences: false)
        guard range.hasPrefix("bytes="), sides.count == 2 else { return nil }
        guard let from = Int(sides[0]) else { return Int(sides[1]).map { max(size - $0, 0)..<size } }
        let end = min(Int(sides[1]).map { $0 + 1 } ?? size, size)
        return from < end ? from..<end : nil
    }

    private static var listing: LabResponse {
        xml(
            "ListBucketResult",
            """
            <Name>\(bucket)</Name><Prefix></Prefix><KeyCount>1</KeyCount><MaxKeys>1000</MaxKeys>\
            <IsTruncated>false</IsTruncated><Contents><Key>\(objectName)</Key>\
            <LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>&quot;5d41402abc4b2a76b9719d911017c592&quot;</ETag>\
            <Size>\(content.utf8.count)</Size><StorageClass>STANDARD</StorageClass></Contents>
            """)
    }

    private static func xml(_ name: String, _ content: String) -> LabResponse {
        .text(
            200,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<\(name) xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
                + "\(content)</\(name)>",
            contentType: "application/xml")
    }

    private static func error(_ status: Int, _ code: String, _ message: String) -> LabResponse {
        .text(
            status,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>\(code)</Code><Message>\(message)</Message></Error>",
            contentType: "application/xml")
    }
}
