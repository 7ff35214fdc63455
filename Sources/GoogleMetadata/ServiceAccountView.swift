import MetadataProtocol
import Tokens

/// A pod's ServiceAccount as Google clients see it: an entry of `service-accounts/` under two names.
///
/// The names are made when a caller looks: a token's request has no use for them.
struct ServiceAccountView: Sendable, Hashable {
    /// The name that the account has whatever its email is.
    static let defaultName = "default"

    let record: ServiceAccountRecord
    private let configuration: GoogleMetadataConfiguration

    /// Throws if the account's annotation is not an email: it would end up in paths, listings and upstream URLs.
    init(
        _ record: ServiceAccountRecord, configuration: GoogleMetadataConfiguration
    ) throws(RequestRefusal) {
        if let account = record.googleServiceAccount, !GoogleServiceAccountEmail.isValid(account) {
            throw .badAnnotation(record.reference)
        }
        self.record = record
        self.configuration = configuration
    }

    /// The Google service account; else the principal, where the annotation asks for it; else the pool.
    var email: String {
        if let account = record.googleServiceAccount { return account }
        guard record.returnsPrincipalAsEmail else { return configuration.poolName }
        return Self.principal(of: record.reference, configuration)
    }

    /// The email as it appears in a canonical path.
    var pathName: String { Self.collapsingSlashes(email) }

    /// The IAM principal of a ServiceAccount in a workload identity pool.
    static func principal(of account: ServiceAccountReference, _ configuration: GoogleMetadataConfiguration) -> String {
        "principal://iam.googleapis.com/projects/\(configuration.poolProjectNumber)/locations/global"
            + "/workloadIdentityPools/\(configuration.poolName)/subject/ns/\(account.namespace)/sa/\(account.name)"
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
