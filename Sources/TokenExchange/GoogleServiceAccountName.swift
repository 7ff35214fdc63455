import Tokens
import UpstreamHTTP

/// The name of a Google service account in a URL: its e-mail address or its numeric unique ID.
///
/// It comes from an annotation, that is, from a user who may edit a ServiceAccount; it is checked before it becomes
/// part of a URL.
struct GoogleServiceAccountName: Sendable, Hashable {
    let pathSegment: String

    /// The longest e-mail address that mail knows (RFC 5321 section 4.5.3.1.3, less the brackets).
    private static let lengthLimit = 254

    init(_ account: String) throws(UpstreamFailure) {
        guard Self.isUniqueID(account) || Self.isEmail(account), let segment = PercentEncoding.segment(account) else {
            throw UpstreamFailure(
                upstream: .iamCredentials,
                kind: .misconfigured,
                message: "annotation iam.gke.io/gcp-service-account: \"\(UpstreamText.clean(account, limit: 100))\" is "
                    + "neither the e-mail address nor the unique ID of a Google service account"
            )
        }
        pathSegment = segment
    }

    private static func isUniqueID(_ text: String) -> Bool {
        (1...32).contains(text.utf8.count) && text.utf8.allSatisfy(isDigit)
    }

    private static func isEmail(_ text: String) -> Bool {
        guard text.utf8.count <= lengthLimit else { return false }
        let parts = text.utf8.split(separator: UInt8(ascii: "@"), omittingEmptySubsequences: false)
        guard parts.count == 2 else { return false }
        let labels = parts[1].split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        return !parts[0].isEmpty && parts[0].allSatisfy { isWord($0) || ".+_".utf8.contains($0) }
            && labels.count >= 2 && labels.allSatisfy { !$0.isEmpty && $0.allSatisfy(isWord) }
    }

    private static func isDigit(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
    }

    private static func isWord(_ byte: UInt8) -> Bool {
        isDigit(byte) || (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20) || byte == UInt8(ascii: "-")
    }
}
