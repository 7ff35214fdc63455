package import Attribution

/// Something that the owner of a pod can put right, told as a Kubernetes Event of type Warning on that pod.
package struct PodWarning: Sendable, Hashable {
    /// `reason` of the Event: names that people filter by, and that stay.
    package enum Reason: String, Sendable, Hashable, CaseIterable {
        /// The API server mints no token for the pod: RBAC does not allow the audience, or the ServiceAccount is gone.
        case tokenRequestDenied = "TokenRequestDenied"
        /// Google's STS does not take the pod's token: provider, issuer, audience or attribute condition.
        case tokenExchangeDenied = "TokenExchangeDenied"
        /// IAM does not let the ServiceAccount act as the annotated Google service account.
        case impersonationDenied = "ImpersonationDenied"
        /// The annotated Google service account does not exist.
        case googleServiceAccountNotFound = "GoogleServiceAccountNotFound"
        /// The annotation is no email address.
        case invalidAnnotation = "InvalidAnnotation"
        /// An identity token was asked for, and the ServiceAccount is not annotated.
        case noGoogleServiceAccount = "NoGoogleServiceAccount"
        /// A pod token was asked for with an audience that is not configured.
        case audienceNotAllowed = "AudienceNotAllowed"
        /// The token service of a cloud besides Google does not take the pod's token: trust policy, credential, audience.
        case cloudCredentialDenied = "CloudCredentialDenied"
        /// The configuration does not let the namespace use the identity that the ServiceAccount names.
        case cloudIdentityNotAllowed = "CloudIdentityNotAllowed"
        /// A request came through a proxy, whose pod would have got its own identity for another's.
        case proxiedRequest = "ProxiedRequest"
        /// A static pod asked: it has no ServiceAccount.
        case noServiceAccount = "NoServiceAccount"
    }

    package var pod: PodRecord
    package var reason: Reason
    /// The problem and its remedy, without secrets. Cut to 1 KiB, the API server's limit.
    package var message: String

    package init(pod: PodRecord, reason: Reason, message: String) {
        self.pod = pod
        self.reason = reason
        self.message = message
    }
}
