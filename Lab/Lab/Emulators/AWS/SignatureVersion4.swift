import Crypto
import Foundation
import NIOCore
import NIOHTTP1

/// AWS Signature Version 4 in the `Authorization` header, checked as S3 does, payload included.
struct SignatureVersion4: Sendable {
    let accessKeyID: String
    /// `DATE/REGION/SERVICE/aws4_request`.
    let scope: String
    let signedHeaders: [String]
    let signature: String

    /// `nil` unless the header is there and has every part.
    init?(_ request: LabRequest) {
        let algorithm = "AWS4-HMAC-SHA256 "
        guard let header = request.header("Authorization"), header.hasPrefix(algorithm) else { return nil }
        let pairs = header.dropFirst(algorithm.count).split(separator: ",").map { part in
            part.trimmingCharacters(in: .whitespaces).split(separator: "=", maxSplits: 1).map(String.init)
        }
        guard pairs.allSatisfy({ $0.count == 2 }) else { return nil }
        let fields = Dictionary(pairs.map { ($0[0], $0[1]) }) { first, _ in first }
        guard let credential = fields["Credential"]?.split(separator: "/", maxSplits: 1), credential.count == 2,
            let names = fields["SignedHeaders"], let signature = fields["Signature"]
        else { return nil }
        accessKeyID = String(credential[0])
        scope = String(credential[1])
        signedHeaders = names.split(separator: ";").map(String.init)
        self.signature = signature
    }

    /// Returns the body if `secret` made the signature over this request, and the payload is the signed one. The signature
    /// must cover the host, the date, the session token and every other `x-amz-` header.
    func payload(of request: LabRequest, signedBy secret: String) -> Data? {
        let parts = scope.split(separator: "/").map(String.init)
        let amazon = request.headers.map { $0.name.lowercased() }.filter { $0.hasPrefix("x-amz-") }
        guard parts.count == 4, parts[2] == "s3", parts[3] == "aws4_request",
            let date = request.header("x-amz-date"), date.hasPrefix(parts[0]),
            let digest = request.header("x-amz-content-sha256"),
            Set(signedHeaders).isSuperset(of: ["host", "x-amz-date", "x-amz-security-token"] + amazon)
        else { return nil }
        let toSign = ["AWS4-HMAC-SHA256", date, scope, Self.digest(Data(canonical(request, digest).utf8))]
        var key = Data("AWS4\(secret)".utf8)
        for part in parts { key = Self.mac(part, key) }
        guard Self.hexadecimal(Self.mac(toSign.joined(separator: "\n"), key)) == signature else { return nil }
        let body = Data(request.body.readableBytesView)
        switch digest {
        case "UNSIGNED-PAYLOAD": return body
        case "STREAMING-AWS4-HMAC-SHA256-PAYLOAD": return chunks(of: body, date: date, key: key)
        default: return digest == Self.digest(body) ? body : nil
        }
    }

    /// Joins the chunks of a body that is signed chunk by chunk: `SIZE;chunk-signature=SIGNATURE`, each signature over the
    /// one before it.
    private func chunks(of body: Data, date: String, key: Data) -> Data? {
        var joined = Data()
        var rest = body[...]
        var previous = signature
        let empty = Self.digest(Data())
        while let end = rest.firstRange(of: Data("\r\n".utf8)) {
            let head = String(decoding: rest[..<end.lowerBound], as: UTF8.self).split(separator: ";")
            guard head.count == 2, let size = Int(head[0], radix: 16), size >= 0,
                head[1].hasPrefix("chunk-signature="), rest[end.upperBound...].count >= size + 2
            else { return nil }
            let chunk = rest[end.upperBound..<(end.upperBound + size)]
            let toSign = ["AWS4-HMAC-SHA256-PAYLOAD", date, scope, previous, empty, Self.digest(chunk)]
            let expected = Self.hexadecimal(Self.mac(toSign.joined(separator: "\n"), key))
            guard head[1].dropFirst("chunk-signature=".count) == expected else { return nil }
            if size == 0 { return joined }
            joined += chunk
            previous = expected
            rest = rest[(end.upperBound + size + 2)...]
        }
        return nil
    }

    private func canonical(_ request: LabRequest, _ digest: String) -> String {
        let query = request.query.map { (Self.encode($0.name), Self.encode($0.value)) }
            .sorted { $0 < $1 }.map { "\($0.0)=\($0.1)" }.joined(separator: "&")
        let headers = signedHeaders.map { name in
            let value = request.headers[name].map { value in
                value.split(separator: " ", omittingEmptySubsequences: true).joined(separator: " ")
            }.joined(separator: ",")
            return "\(name):\(value)\n"
        }.joined()
        return [request.method, request.path, query, headers, signedHeaders.joined(separator: ";"), digest]
            .joined(separator: "\n")
    }

    private static func mac(_ text: String, _ key: Data) -> Data {
        Data(HMAC<SHA256>.authenticationCode(for: Data(text.utf8), using: SymmetricKey(data: key)))
    }

    private static func digest(_ data: Data) -> String { hexadecimal(SHA256.hash(data: data)) }

    private static func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
        bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }

    private static func encode(_ text: String) -> String {
        let allowed = Set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~".utf8)
        return text.utf8.map { byte in
            allowed.contains(byte)
                ? String(UnicodeScalar(byte)) : "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
        }.joined()
    }
}
