package import Tokens

/// A pod's ServiceAccount as Google clients see it: an entry of `service-accounts/` under two names.
package struct ServiceAccountView: Sendable, Hashable {
    package let record: ServiceAccountRecord
    /// The Google service account; else the principal, where the annotation asks for it; else the pool.
    package let email: String
    /// As they appear in a canonical path.
    package let names: [String]

    /// Throws if the account's annotation is not an email: it would end up in paths, listings and upstream URLs.
    package init(
        _ record: ServiceAccountRecord, configuration: MetadataServerConfiguration
    ) throws(RequestRefusal) {
        if let account = record.googleServiceAccount {
            guard Self.isEmail(account) else { throw .badAnnotation(record.reference) }
            self.email = account
        } else if record.returnsPrincipalAsEmail {
            self.email = Self.principal(of: record.reference, configuration)
        } else {
            self.email = configuration.poolName
        }
        self.record = record
        self.names = ["default", Self.collapsingSlashes(email)]
    }

    /// The IAM principal of a ServiceAccount in a workload identity pool.
    static func principal(of account: ServiceAccountReference, _ configuration: MetadataServerConfiguration) -> String {
        "principal://iam.googleapis.com/projects/\(configuration.poolProjectNumber)/locations/global"
            + "/workloadIdentityPools/\(configuration.poolName)/subject/ns/\(account.namespace)/sa/\(account.name)"
    }

    private static func isEmail(_ text: String) -> Bool {
        guard text.utf8.count <= 256, let at = text.utf8.firstIndex(of: UInt8(ascii: "@")) else { return false }
        return isName(text.utf8[..<at]) && isName(text.utf8[text.utf8.index(after: at)...])
    }

    private static func isName(_ part: Substring.UTF8View) -> Bool {
        !part.isEmpty
            && part.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "_"):
                    true
                default: false
                }
            }
    }

    private static func collapsingSlashes(_ text: String) -> String {
        guard text.utf8.contains(UInt8(ascii: "/")) else { return text }
        var collapsed: [UInt8] = []
        for byte in text.utf8 where byte != UInt8(ascii: "/") || collapsed.last != byte {
            collapsed.append(byte)
        }
        return String(decoding: collapsed, as: UTF8.self)
    }
}
