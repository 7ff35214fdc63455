package import Attribution

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
