import Tokens
import UpstreamHTTP

/// The name of a Google service account in a URL: its e-mail address.
///
/// The name comes from an annotation, that is, from a user who may edit a ServiceAccount; it is checked before it becomes
/// part of a URL.
struct GoogleServiceAccountName: Sendable, Hashable {
    let pathSegment: String

    init(_ account: String) throws(UpstreamFailure) {
        guard GoogleServiceAccountEmail.isValid(account), let segment = PercentEncoding.segment(account) else {
            throw UpstreamFailure(
                upstream: .iamCredentials,
                kind: .misconfigured,
                message: "annotation iam.gke.io/gcp-service-account: \"\(UpstreamText.clean(account, limit: 100))\" is "
                    + "not the e-mail address of a Google service account"
            )
        }
        pathSegment = segment
    }
}
