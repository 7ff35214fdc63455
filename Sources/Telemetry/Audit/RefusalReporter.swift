package import Attribution
package import KubernetesAPI
package import MetadataProtocol
package import MetadataServer

/// Tells the audit of what was denied, and the owners of pods of what they can put right.
package struct RefusalReporter: Sendable {
    let index: CgroupIndex
    let directory: PodDirectory
    let audit: AuditLog
    let events: PodEventRecorder
    /// Whether Events are switched on.
    let writesEvents: @Sendable () -> Bool

    package init(
        index: CgroupIndex, directory: PodDirectory, audit: AuditLog, events: PodEventRecorder,
        writesEvents: @escaping @Sendable () -> Bool
    ) {
        self.index = index
        self.directory = directory
        self.audit = audit
        self.events = events
        self.writesEvents = writesEvents
    }

    /// Called on event loops, for every refusal: a few hash look-ups, and only for those that matter.
    package func report(_ refusal: RefusedRequest) {
        let reason = refusal.cause.warning
        guard refusal.cause.isAudited || reason != nil else { return }
        let cgroup = index.pod(for: refusal.tag)
        let pod = cgroup.flatMap { directory.record(for: $0.uid) }
        if refusal.cause.isAudited {
            var subject = AuditRecord.Subject(
                uid: cgroup?.uid.description, container: cgroup?.containerID,
                cgroup: cgroup?.cgroupID.rawValue ?? refusal.tag.leaf.rawValue)
            if let pod {
                subject.namespace = pod.namespace
                subject.pod = pod.name
                subject.uid = pod.uid.description
                subject.serviceAccount = pod.serviceAccountName.isEmpty ? nil : pod.serviceAccountName
                subject.labels = pod.auditedLabels
            }
            audit.recordRefusal(
                of: subject, kind: refusal.route.rawValue, reason: refusal.cause.rawValue,
                status: refusal.status.rawValue)
        }
        if let reason, let pod, writesEvents() {
            events.record(PodWarning(pod: pod, reason: reason, message: refusal.text))
        }
    }
}

extension RefusalCause {
    /// Whether the agent itself denied a request. What upstreams denied is audited where it was asked for;
    /// what was merely asked wrongly denies nothing.
    package var isAudited: Bool {
        switch self {
        case .notInPod, .podGone, .podFinished, .staticPod, .podTooLarge, .denied, .podUnknown,
            .audienceNotConfigured, .forwarded, .unknownHost, .missingFlavor, .badAnnotation, .tooManyConnections,
            .limited, .noGoogleServiceAccount, .sessionTokenMissing, .sessionTokenInvalid, .cloudIdentityMissing,
            .cloudIdentityInvalid, .cloudIdentityNotAllowed, .cloudIdentityUnknown:
            true
        case .passedThrough, .malformed, .badQuery, .cannotWait, .missingAudience, .methodNotAllowed,
            .boundTokenNotSupported, .notFound, .requestTargetTooLong, .headersTooLarge, .bodyTooLarge,
            .requestTimedOut, .answerTimedOut, .tokenRequestRefused, .exchangeRefused, .impersonationRefused,
            .googleServiceAccountNotFound, .cloudExchangeRefused, .upstreamFailed, .timedOut:
            false
        }
    }

    /// The Event that it is worth, if the pod's owner can put it right.
    var warning: PodWarning.Reason? {
        switch self {
        case .staticPod: .noServiceAccount
        case .audienceNotConfigured: .audienceNotAllowed
        case .badAnnotation, .cloudIdentityInvalid: .invalidAnnotation
        case .cloudIdentityNotAllowed: .cloudIdentityNotAllowed
        case .cloudExchangeRefused: .cloudCredentialDenied
        case .forwarded: .proxiedRequest
        case .tokenRequestRefused: .tokenRequestDenied
        case .exchangeRefused: .tokenExchangeDenied
        case .impersonationRefused: .impersonationDenied
        case .googleServiceAccountNotFound: .googleServiceAccountNotFound
        case .noGoogleServiceAccount: .noGoogleServiceAccount
        case .notInPod, .podGone, .podFinished, .podTooLarge, .denied, .passedThrough, .podUnknown, .malformed,
            .badQuery,
            .cannotWait, .missingAudience, .unknownHost, .sessionTokenMissing, .sessionTokenInvalid,
            .cloudIdentityMissing, .cloudIdentityUnknown, .missingFlavor, .methodNotAllowed,
            .boundTokenNotSupported, .notFound, .requestTargetTooLong, .headersTooLarge, .bodyTooLarge,
            .requestTimedOut, .answerTimedOut, .tooManyConnections, .upstreamFailed, .limited, .timedOut:
            nil
        }
    }
}
