import Attribution
import Logging
import SpiffeIdentity
import SpiffeWorkload
import Telemetry

extension AuditLog {
    /// An SVID that the agent obtained for a pod.
    func record(_ svid: IssuedSVID, for pod: PodRecord, took: Duration) {
        var record = mintRecord(of: pod, kind: svid.kind.rawValue)
        record.object?.target = svid.id.description
        if !svid.audience.isEmpty { record.object?.audience = svid.audience.joined(separator: " ") }
        if let container = svid.container { record.subject.container = container }
        record.result = .minted
        record.tokenID = svid.serialNumber.isEmpty ? nil : svid.serialNumber
        record.milliseconds = took.wholeMilliseconds
        append(record, "SVID obtained")
    }

    /// An SVID that the agent could not obtain.
    func record(_ kind: IssuedSVID.Kind, for pod: PodRecord, _ failure: IssueFailure) {
        var record = mintRecord(of: pod, kind: kind.rawValue)
        record.result = failure.kind == .denied ? .denied : failure.kind == .limited ? .limited : .failed
        record.reason = failure.kind.rawValue
        record.message = failure.reason
        deny(record, "no SVID")
    }

    /// A call that the endpoint ended with a final no.
    func recordSpiffeRefusal(of pod: PodRecord?, _ method: String, reason: String) {
        let subject = pod.map { AuditRecord.Subject($0, nil) } ?? AuditRecord.Subject()
        recordRefusal(of: subject, kind: method, reason: reason, status: 403)
    }
}
