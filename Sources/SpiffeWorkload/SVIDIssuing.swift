package import Attribution
package import SpiffeIdentity

/// Gets SVIDs for the pods of this node from whoever may sign them.
package protocol SVIDIssuing: Sendable {
    /// A certificate chain in DER for the key of a signing request, of the identity of exactly this pod.
    func certificate(for pod: PodRecord, request: [UInt8]) async throws(IssueFailure) -> [[UInt8]]
    /// A JWT-SVID of exactly this pod.
    func token(for pod: PodRecord, audience: [String]) async throws(IssueFailure) -> String
    /// What the trust domain is verified by, now.
    func bundle() async throws(IssueFailure) -> TrustBundle
}

/// Why there is no SVID. The reason is bounded and free of secrets.
package struct IssueFailure: Error, Sendable, Hashable, CustomStringConvertible {
    package enum Kind: String, Sendable, Hashable, CaseIterable {
        /// A final no of the signer.
        case denied
        /// The API server or the signer did not answer, or not usably, or somebody has to grant something first.
        case unavailable
        /// A limit of the pod's own.
        case limited
    }

    package var kind: Kind
    package var reason: String

    package init(_ kind: Kind, _ reason: String) {
        self.kind = kind
        self.reason = reason
    }

    package var description: String { "\(kind.rawValue): \(reason)" }

    var status: GRPCStatus {
        switch kind {
        case .denied: .noIdentity(reason)
        case .unavailable: GRPCStatus(.unavailable, reason)
        case .limited: GRPCStatus(.resourceExhausted, reason)
        }
    }
}

/// Is told what the endpoint does, for metrics and audit. Must not block.
package protocol WorkloadObserver: Sendable {
    /// A call ended; `nil`: it named no method of the Workload API.
    func ended(_ method: WorkloadMethod?, with status: GRPCStatus.Code)
    /// A call was refused with a final no.
    func refused(_ pod: PodRecord?, _ method: WorkloadMethod?, _ status: GRPCStatus)
    /// An SVID was obtained or not.
    func issued(_ svid: IssuedSVID, for pod: PodRecord, took: Duration)
    func failed(_ kind: IssuedSVID.Kind, for pod: PodRecord, _ failure: IssueFailure)
    /// A message was pushed into an open stream.
    func pushed(_ method: WorkloadMethod)
    /// A connection was closed because of a limit.
    func connectionRefused()
}

/// An SVID that was obtained, without its secret parts.
package struct IssuedSVID: Sendable, Hashable {
    package enum Kind: String, Sendable, Hashable, CaseIterable {
        case x509 = "x509_svid"
        case jwt = "jwt_svid"
    }

    package var kind: Kind
    package var id: SpiffeID
    /// The certificate's; empty for a token.
    package var serialNumber: String
    package var audience: [String]
}
