import Crypto
import Foundation
import NIOHTTP1

/// AWS Signature Version 4 in the `Authorization` header, checked as S3 does.
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

    /// Whether `secret` made the signature, over this request, and at least over its host, date and session token.
    func isMade(by secret: String, over request: LabRequest) -> Bool {
        let parts = scope.split(separator: "/").map(String.init)
        guard parts.count == 4, parts[3] == "aws4_request", let date = request.header("x-amz-date"),
            date.hasPrefix(parts[0]), Set(signedHeaders).isSuperset(of: ["host", "x-amz-date", "x-amz-security-token"])
        else { return false }
        let toSign = [
            "AWS4-HMAC-SHA256", date, scope, Self.hexadecimal(SHA256.hash(data: Data(canonical(request).utf8))),
        ].joined(separator: "\n")
        var key = Data("AWS4\(secret)".utf8)
        for part in parts { key = Self.mac(part, key) }
        return Self.hexadecimal(Self.mac(toSign, key)) == signature
    }

    private func canonical(_ request: LabRequest) -> String {
        let query = request.query.map { (Self.encode($0.name), Self.encode($0.value)) }
            .sorted { $0 < $1 }.map { "\($0.0)=\($0.1)" }.joined(separator: "&")
        let headers = signedHeaders.map { name in
            let value = request.headers[name].map { value in
                value.split(separator: " ", omittingEmptySubsequences: true).joined(separator: " ")
            }.joined(separator: ",")
            return "\(name):\(value)\n"
        }.joined()
        return [
            request.method, request.path, query, headers, signedHeaders.joined(separator: ";"),
            request.header("x-amz-content-sha256") ?? Self.hexadecimal(SHA256.hash(data: Data())),
        ].joined(separator: "\n")
    }

    private static func mac(_ text: String, _ key: Data) -> Data {
        Data(HMAC<SHA256>.authenticationCode(for: Data(text.utf8), using: SymmetricKey(data: key)))
    }

    private static func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
        bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }

    private static func encode(_ text: String) -> String {
        var allowed = CharacterSet.alphanumerics
        allowed.insert(charactersIn: "-._~")
        return text.addingPercentEncoding(withAllowedCharacters: allowed) ?? text
    }
}
