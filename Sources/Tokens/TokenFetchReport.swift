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

    package init(pod: PodRecord, key: TokenKey, failure: UpstreamFailure?, duration: Duration) {
        self.pod = pod
        self.key = key
        self.failure = failure
        self.duration = duration
    }
}
