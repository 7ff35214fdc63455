package import Attribution
package import Logging
import Operations
import Synchronization
package import Tokens

/// Records every token minted and every denial, naming who and what, never the token.
package final class AuditLog: Sendable {
    private let node: String
    /// The node's zone, once it is known.
    private let zone: @Sendable () -> String?
    /// Takes each line; `nil`: the audit log is switched off.
    private let write: (@Sendable (String) -> Void)?
    /// The file behind ``write``, if there is one: to open again, to close, and to count.
    private let file: AuditFile?
    private let clock: any TokenClock
    private let logger: Logger
    private let denials = Mutex(DenialAggregator())
    /// Tells ``run()`` of denials.
    private let (denied, denial) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
    private let callers: RecentCallers

    /// Writes to `path`, `-` for standard output, or nowhere; and to the log what an operator must see.
    package init(
        path: String?, node: String, zone: @escaping @Sendable () -> String? = { nil }, callers: RecentCallers,
        logger: Logger
    ) throws {
        self.node = node
        self.zone = zone
        self.logger = logger
        self.callers = callers
        clock = SystemTokenClock()
        let file = try path.map { path in
            try AuditFile(path: path, logger: logger) { count in
                var record = AuditRecord(event: .lost, time: Self.now, node: node)
                record.count = count
                return record.line
            }
        }
        self.file = file
        if let file { write = { @Sendable line in file.append(line) } } else { write = nil }
    }

    /// Hands each line to `sink`, and counts repetitions by `clock`.
    package init(
        node: String, callers: RecentCallers, clock: any TokenClock, logger: Logger,
        sink: @escaping @Sendable (String) -> Void
    ) {
        self.node = node
        zone = { nil }
        self.logger = logger
        self.callers = callers
        self.clock = clock
        write = sink
        file = nil
    }

    package var written: UInt64 { file?.written.current ?? 0 }
    package var lost: UInt64 { file?.lost.current ?? 0 }

    /// The kinds of denials that are counted at present, and the most that there can be.
    package var countedDenials: Int { denials.withLock { $0.count } }
    package static let countedDenialsLimit = DenialAggregator.most

    /// The file was rotated.
    package func reopen() { file?.reopen() }

    /// Tells what was counted, at the end of each minute, until the task is cancelled. Sleeps while nothing is denied.
    package func run() async {
        for await _ in denied {
            while !denials.withLock({ $0.isEmpty }) {
                guard (try? await clock.sleep(until: clock.now + .seconds(5))) != nil else { return }
                for record in denials.withLock({ $0.take(endedAt: clock.now) }) { append(record) }
            }
        }
    }

    package func close() async {
        for record in denials.withLock({ $0.take() }) { append(record) }
        await file?.close()
    }

    // MARK: Records

    private func newRecord(_ event: AuditRecord.Event) -> AuditRecord {
        AuditRecord(event: event, time: Self.now, node: node, zone: zone())
    }

    package func record(_ report: TokenFetchReport) {
        var record = newRecord(.mint)
        record.subject = AuditRecord.Subject(report.pod, callers.last(of: report.pod.uid))
        record.object = AuditRecord.Object(report.key)
        record.milliseconds = report.duration.wholeMilliseconds
        guard let failure = report.failure else {
            record.result = .minted
            record.tokenID = report.subjectID.map(TokenID.hash)
            append(record)
            logger.debug("token minted", metadata: record.metadata)
            return
        }
        record.describe(failure)
        deny(record, "no token")
    }

    package func record(_ report: ServiceAccountFailureReport) {
        var record = newRecord(.mint)
        record.subject = AuditRecord.Subject(
            namespace: report.account.namespace, serviceAccount: report.account.name)
        record.object = AuditRecord.Object(kind: "service_account")
        record.milliseconds = report.duration.wholeMilliseconds
        record.describe(report.failure)
        // The account has no UID here; its name tells it from others.
        deny(record, "ServiceAccount cannot be read")
    }

    /// A refusal of the agent's own. It is not logged: a refused caller may ask as often as it likes.
    package func recordRefusal(of subject: AuditRecord.Subject, kind: String, reason: String, status: Int) {
        guard write != nil else { return }
        var record = newRecord(.refusal)
        record.subject = subject
        record.object = AuditRecord.Object(kind: kind)
        record.result = status == 429 ? .limited : status == 503 ? .failed : .denied
        record.reason = reason
        record.status = status
        if let record = note(record) { append(record) }
    }

    /// Counts a denial, and returns what is to be written now.
    private func note(_ record: AuditRecord) -> AuditRecord? {
        defer { denial.yield() }
        return denials.withLock { $0.note(record, now: clock.now) }
    }

    /// The record of something that was asked for on behalf of a pod, without its end.
    package func mintRecord(of pod: PodRecord, kind: String) -> AuditRecord {
        var record = newRecord(.mint)
        record.subject = AuditRecord.Subject(pod, callers.last(of: pod.uid))
        record.object = AuditRecord.Object(kind: kind)
        return record
    }

    package func append(_ record: AuditRecord, _ words: Logger.Message) {
        append(record)
        logger.debug(words, metadata: record.metadata)
    }

    package func deny(_ record: AuditRecord, _ words: Logger.Message) {
        guard let record = note(record) else { return }
        append(record)
        logger.warning(words, metadata: record.metadata)
    }

    private func append(_ record: AuditRecord) { write?(record.line) }

    private static var now: String { WallClock.precise() }
}

extension AuditRecord {
    fileprivate mutating func describe(_ failure: UpstreamFailure) {
        result =
            switch failure.kind {
            case .denied, .notFound, .misconfigured: .denied
            case .rateLimited, .unavailable, .staleSubjectToken: .failed
            }
        reason = MetricLabel.snakeCase(failure.kind.rawValue)
        upstream = failure.upstream.rawValue
        status = failure.status
        message = failure.message
    }

    /// The same for the log.
    fileprivate var metadata: Logger.Metadata {
        var metadata: Logger.Metadata = ["milliseconds": "\(milliseconds ?? 0)"]
        let texts = [
            "namespace": subject.namespace, "pod": subject.pod, "uid": subject.uid,
            "serviceaccount": subject.serviceAccount, "kind": object?.kind, "target": object?.target,
            "audience": object?.audience, "scopes": object?.scopes?.joined(separator: " "), "upstream": upstream,
            "failure": reason, "status": status.map { "\($0)" }, "message": message,
        ]
        for case (let name, let text?) in texts { metadata[name] = "\(text)" }
        return metadata
    }
}

extension AuditRecord.Subject {
    package init(_ pod: PodRecord, _ caller: RecentCallers.Caller?) {
        self.init(
            namespace: pod.namespace, pod: pod.name, uid: pod.uid.description, container: caller?.containerID,
            cgroup: caller?.cgroupID.rawValue,
            serviceAccount: pod.serviceAccountName.isEmpty ? nil : pod.serviceAccountName, labels: pod.auditedLabels
        )
    }
}

extension AuditRecord.Object {
    init(_ key: TokenKey) {
        switch key.kind {
        case .accessToken(let scopes): self.init(kind: "access_token", scopes: scopes.sorted)
        case .identityToken(let audience): self.init(kind: "identity_token", audience: audience)
        case .podToken(let audience): self.init(kind: "pod_token", audience: audience)
        case .federation: self.init(kind: "federated_token")
        case .cloudCredential(let resource):
            self.init(kind: "cloud_credential", audience: resource.isEmpty ? nil : resource)
        }
        switch key.target {
        case .googleServiceAccount(let email): target = email
        case .cloud(let identity): target = identity.principal
        case .federated, .serviceAccount: break
        }
    }
}

extension Duration {
    package var wholeMilliseconds: Int64 {
        components.seconds * 1000 + components.attoseconds / 1_000_000_000_000_000
    }
}
