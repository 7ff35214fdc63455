/// The e-mail address of a Google service account, the one name that the annotation may give.
///
/// IAM makes `NAME@PROJECT.iam.gserviceaccount.com`, where NAME has 6 to 30 lower-case letters, digits and hyphens
/// (https://cloud.google.com/iam/docs/service-accounts-create), and for its own services `NUMBER-compute@developer.gserviceaccount.com`
/// and `PROJECT@appspot.gserviceaccount.com`. A universe of its own has other domains. So letters, digits, `.`, `-` and `_`
/// are accepted before the one `@`, and a domain after it; nothing that has a meaning in a URL. IAM also takes an account's numeric
/// ID, but a pod's clients ask for the account by its address.
package enum GoogleServiceAccountEmail {
    /// The longest address that mail knows (RFC 5321 section 4.5.3.1.3, less the brackets).
    private static let lengthMax = 254

    package static func isValid(_ text: String) -> Bool {
        let bytes = text.utf8Span.span
        guard bytes.count <= lengthMax else { return false }
        var at: Int?
        for index in bytes.indices {
            switch bytes[index] {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"):
                continue
            case UInt8(ascii: "_") where at == nil:
                continue
            case UInt8(ascii: "."):
                // No label of a domain is empty.
                guard let at else { continue }
                guard index > at + 1, index < bytes.count - 1, bytes[index - 1] != UInt8(ascii: ".") else {
                    return false
                }
            case UInt8(ascii: "@") where at == nil:
                at = index
            default:
                return false
            }
        }
        guard let at else { return false }
        return at > 0 && at < bytes.count - 1
    }
}
