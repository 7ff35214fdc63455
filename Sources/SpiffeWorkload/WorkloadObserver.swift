package import Attribution
package import SpiffeIdentity

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
    /// An Envoy said that it cannot use the secrets that it got.
    func rejected()
    /// A connection was closed because of a limit.
    func connectionRefused()
}

extension WorkloadObserver {
    /// Reports a call's end, and a refusal if it is one.
    func ended(_ method: WorkloadMethod?, _ status: GRPCStatus, _ peer: WorkloadPeer) {
        ended(method, with: status.code)
        guard status.code == .permissionDenied else { return }
        let pod: PodRecord? = if case .caller(let caller) = peer.identify() { caller.pod } else { nil }
        refused(pod, method, status)
    }
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
    /// The container that asked for a token; `nil` for a certificate, which is the whole pod's.
    package var container: String?
}

extension IssueFailure {
    /// The status that the caller gets.
    var status: GRPCStatus {
        switch kind {
        case .denied: .noIdentity(reason)
        case .unavailable: GRPCStatus(.unavailable, reason)
        case .limited: GRPCStatus(.resourceExhausted, reason)
        }
    }
}
