import Crypto
import Foundation
import NIOCore
import NIOHTTP1
import Synchronization

/// An S3 with one bucket, for every caller that signs with living credentials of the lab's STS. Every caller reads the one object
/// that is there from the start; an object that a pod writes only that pod sees.
package final class S3Emulator: Sendable {
    package static let bucket = "lab-bucket"
    package static let objectName = "greeting.txt"
    package static let content = "hello from the lab"

    /// The callers whose signatures were accepted, once a request.
    package let callers = EventLog<AWSCredentialRecord>()
    /// Requests that were refused, and why.
    package let refusals = EventLog<String>()
    private let tokens: AWSSecurityTokenServiceEmulator
    /// The objects by the pod's UID and the object's name.
    private let written = Mutex<[String: [String: Data]]>([:])

    package init(_ tokens: AWSSecurityTokenServiceEmulator) {
        self.tokens = tokens
    }

    /// Answers one request of the REST API, with the bucket in the path.
    package func handle(_ request: LabRequest) async -> LabResponse {
        guard let (caller, payload) = accept(request) else {
            refusals.record("\(request.method) \(request.target) \(request.headers)")
            return Self.error(403, "SignatureDoesNotMatch", "The request is not signed with living credentials.")
        }
        callers.record(caller)
        let pod = caller.subject.podUID
        let parts = request.path.split(separator: "/", maxSplits: 1).map(String.init)
        guard let bucket = parts.first else {
            return Self.xml(
                "ListAllMyBucketsResult", "<Buckets><Bucket><Name>\(Self.bucket)</Name></Bucket></Buckets>")
        }
        guard bucket == Self.bucket else { return Self.error(404, "NoSuchBucket", "The bucket does not exist.") }
        guard parts.count == 2, let key = parts[1].removingPercentEncoding else { return bucketAnswer(request, pod) }
        switch request.method {
        case "GET", "HEAD": return object(key, of: pod, request)
        case "PUT":
            written.withLock { $0[pod, default: [:]][key] = payload }
            return LabResponse(status: 200, headers: [("ETag", Self.etag(payload))])
        case "DELETE":
            _ = written.withLock { $0[pod]?.removeValue(forKey: key) }
            return LabResponse(status: 204)
        default: return Self.error(405, "MethodNotAllowed", "The specified method is not allowed.")
        }
    }

    private func accept(_ request: LabRequest) -> (AWSCredentialRecord, Data)? {
        guard let signature = SignatureVersion4(request), let record = tokens.credentials(signature.accessKeyID),
            request.header("x-amz-security-token") == record.sessionToken, tokens.clock.now < record.expires,
            let payload = signature.payload(of: request, signedBy: record.secretAccessKey)
        else { return nil }
        return (record, payload)
    }

    private func objects(of pod: String) -> [String: Data] {
        written.withLock { $0[pod] ?? [:] }.merging([Self.objectName: Data(Self.content.utf8)]) { $1 }
    }

    // MARK: The bucket

    private func bucketAnswer(_ request: LabRequest, _ pod: String) -> LabResponse {
        let headers = [("x-amz-bucket-region", AWSLab.region)]
        guard request.method == "GET" else { return LabResponse(status: 200, headers: headers) }
        if request.query("location") != nil { return Self.xml("LocationConstraint", AWSLab.region) }
        if request.query("versioning") != nil { return Self.xml("VersioningConfiguration", "") }
        return listing(request, of: pod)
    }

    private func listing(_ request: LabRequest, of pod: String) -> LabResponse {
        let prefix = request.query("prefix") ?? ""
        let delimiter = request.query("delimiter") ?? ""
        var contents = ""
        var folders: Set<String> = []
        for (key, data) in objects(of: pod).sorted(by: { $0.key < $1.key }) where key.hasPrefix(prefix) {
            let rest = key.dropFirst(prefix.count)
            if !delimiter.isEmpty, let end = rest.firstRange(of: delimiter) {
                folders.insert(prefix + rest[..<end.upperBound])
                continue
            }
            contents += """
                <Contents><Key>\(key)</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>\
                <ETag>&quot;\(Self.etag(data).dropFirst().dropLast())&quot;</ETag><Size>\(data.count)</Size>\
                <StorageClass>STANDARD</StorageClass></Contents>
                """
        }
        let common = folders.sorted().map { "<CommonPrefixes><Prefix>\($0)</Prefix></CommonPrefixes>" }.joined()
        let count = folders.count + contents.ranges(of: "<Key>").count
        return Self.xml(
            "ListBucketResult",
            """
            <Name>\(Self.bucket)</Name><Prefix>\(prefix)</Prefix><KeyCount>\(count)</KeyCount><MaxKeys>1000</MaxKeys>\
            <IsTruncated>false</IsTruncated>\(contents)\(common)
            """)
    }

    // MARK: Objects

    private func object(_ key: String, of pod: String, _ request: LabRequest) -> LabResponse {
        guard let data = objects(of: pod)[key] else {
            return request.method == "HEAD"
                ? LabResponse(status: 404) : Self.error(404, "NoSuchKey", "The specified key does not exist.")
        }
        var headers = [
            ("Content-Type", "text/plain"), ("ETag", Self.etag(data)), ("Accept-Ranges", "bytes"),
            ("Last-Modified", Timestamp.http(tokens.clock.now)),
        ]
        guard let range = request.header("Range"), let part = Self.part(range, of: data.count) else {
            return LabResponse(status: 200, headers: headers, body: .bytes(ByteBuffer(bytes: data)))
        }
        headers.append(("Content-Range", "bytes \(part.lowerBound)-\(part.upperBound - 1)/\(data.count)"))
        return LabResponse(status: 206, headers: headers, body: .bytes(ByteBuffer(bytes: data[part])))
    }

    /// `bytes=A-B`, `bytes=A-` or `bytes=-N`.
    static func part(_ range: String, of size: Int) -> Range<Int>? {
        let sides = range.dropFirst("bytes=".count).split(separator: "-", omittingEmptySubsequences: false)
        guard range.hasPrefix("bytes="), sides.count == 2 else { return nil }
        guard let from = Int(sides[0]) else { return Int(sides[1]).map { max(size - $0, 0)..<size } }
        let end = min(Int(sides[1]).map { $0 + 1 } ?? size, size)
        return from < end ? from..<end : nil
    }

    private static func etag(_ data: Data) -> String {
        "\"" + Insecure.MD5.hash(data: data).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined() + "\""
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
