package import Attribution

/// Gets SVIDs for the pods of this node from the signer.
package protocol SVIDIssuing: Sendable {
    /// A certificate chain in DER for the key of a signing request, of the identity of exactly this pod.
    func certificate(for pod: PodRecord, request: [UInt8]) async throws(IssueFailure) -> [[UInt8]]
    /// A JWT-SVID of exactly this pod. `container` is the ID of the container that asked, for a claim.
    func token(for pod: PodRecord, container: String?, audience: [String]) async throws(IssueFailure) -> String
    /// Fetches the trust domain's bundle as it is now.
    func bundle() async throws(IssueFailure) -> TrustBundle
}

/// Why there is no SVID. The reason is bounded and free of secrets.
package struct IssueFailure: Error, Sendable, Hashable, CustomStringConvertible {
    package enum Kind: String, Sendable, Hashable, CaseIterable {
        /// A final no of the signer.
        case denied
        /// The API server or the signer did not answer, or not usably, or an operator has to grant something first.
        case unavailable
        /// A limit of the pod's own.
        case limited
    }

    package var kind: Kind
    package var reason: String
    /// How long the same is not asked for again; `nil`: as for every failure of its kind.
    package var rest: Duration?

    package init(_ kind: Kind, _ reason: String, rest: Duration? = nil) {
        self.kind = kind
        self.reason = reason
        self.rest = rest
    }

    package var description: String { "\(kind.rawValue): \(reason)" }
}
