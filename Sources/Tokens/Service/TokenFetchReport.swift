package import Attribution

/// A ServiceAccount that could not be read. At most one a second for each that pods use.
package struct ServiceAccountFailureReport: Sendable {
    package var account: ServiceAccountReference
    package var failure: UpstreamFailure
    package var duration: Duration

    package init(account: ServiceAccountReference, failure: UpstreamFailure, duration: Duration) {
        self.account = account
        self.failure = failure
        self.duration = duration
    }
}

/// The end of one token fetch, for the audit log.
package struct TokenFetchReport: Sendable {
    package var pod: PodRecord
    package var key: TokenKey
    /// `nil`: a token was minted.
    package var failure: UpstreamFailure?
    package var duration: Duration
    /// The `jti` of the pod-bound JWT that the token is or was exchanged for, if one was minted.
    package var subjectID: String?

    package init(
        pod: PodRecord, key: TokenKey, failure: UpstreamFailure?, duration: Duration, subjectID: String? = nil
    ) {
        self.pod = pod
        self.key = key
        self.failure = failure
        self.duration = duration
        self.subjectID = subjectID
    }
}
