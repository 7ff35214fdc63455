import Attribution
import Foundation
import KubernetesAPI
import Logging
import MetadataProtocol
import MetadataServer
import Synchronization
import Testing
import Tokens

@testable import Telemetry

@Suite struct RefusalReporterTests {
    private struct NoCgroups: CgroupPathResolving {
        func path(of id: CgroupID) -> [UInt8]? { nil }
    }

    /// The audit lines and Events of one refusal.
    private struct Told {
        var lines: [String]
        var events: Int
    }

    private static let uid = "11111111-1111-4111-8111-111111111111"

    @Test("a refusal is audited if the agent denied something, and an Event if the pod's owner can put it right")
    func causes() throws {
        for cause in RefusalCause.allCases {
            let told = try tell(cause)
            #expect(told.lines.count == (cause.isAudited ? 1 : 0), "\(cause)")
            #expect(told.events == (cause.warning == nil ? 0 : 1), "\(cause)")
        }
        // One of each kind.
        let kinds: [(RefusalCause, isAudited: Bool, isWarned: Bool)] = [
            (.denied, true, false), (.tokenRequestRefused, false, true), (.staticPod, true, true),
            (.malformed, false, false),
        ]
        for (cause, isAudited, isWarned) in kinds {
            #expect(cause.isAudited == isAudited && (cause.warning != nil) == isWarned, "\(cause)")
        }
    }

    @Test("an audit record has all that is known of a pod")
    func knownPod() throws {
        let record = try parsed(try tell(.staticPod))
        #expect(record["event"] as? String == "refusal" && record["node"] as? String == "node-a")
        #expect(record["namespace"] as? String == "team" && record["pod"] as? String == "web")
        #expect(record["podUid"] as? String == Self.uid && record["serviceAccount"] as? String == "app")
        #expect(record["labels"] as? [String: String] == ["tier": "front"])
        #expect(record["cgroupId"] as? String == "7" && record["kind"] as? String == "access_token")
        #expect(record["reason"] as? String == "static_pod" && record["status"] as? Int == 403)
    }

    @Test("a pod that is not listed is audited by its cgroup's UID, and gets no Event")
    func unknownPod() throws {
        let told = try tell(.staticPod, isListed: false)
        let record = try parsed(told)
        #expect(record["podUid"] as? String == Self.uid && record["cgroupId"] as? String == "7")
        #expect(record["namespace"] == nil && record["pod"] == nil)
        #expect(told.events == 0)
    }

    @Test("a caller in no pod is audited by its cgroup alone")
    func noPod() throws {
        let told = try tell(.staticPod, isInPod: false)
        let record = try parsed(told)
        #expect(record["cgroupId"] as? String == "7" && record["podUid"] == nil && record["namespace"] == nil)
        #expect(told.events == 0)
    }

    @Test("without Events the audit stays")
    func withoutEvents() throws {
        let told = try tell(.staticPod, writesEvents: false)
        #expect(told.lines.count == 1 && told.events == 0)
    }

    /// Reports a refusal of the request of a process in the pod-level cgroup 7.
    private func tell(
        _ cause: RefusalCause, isInPod: Bool = true, isListed: Bool = true, writesEvents: Bool = true
    ) throws -> Told {
        let uid = try #require(PodUID(Self.uid))
        let index = CgroupIndex(root: try KubepodsRoot("/kubepods"), resolver: NoCgroups())
        if isInPod { index.observe(CgroupID(rawValue: 7), path: Array("/kubepods/pod\(uid)".utf8)) }
        let directory = PodDirectory()
        if isListed {
            let pod = PodRecord(
                uid: uid, namespace: "team", name: "web", serviceAccountName: "app", auditedLabels: ["tier": "front"])
            directory.apply(.replaced([pod]))
        }
        let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let lines = Mutex<[String]>([])
        let audit = AuditLog(node: "node-a", callers: RecentCallers(), clock: SystemTokenClock(), logger: quiet) {
            line in lines.withLock { $0.append(line) }
        }
        let events = PodEventRecorder(client: try KubernetesClient.unused(), nodeName: "node-a", logger: quiet)
        let reporter = RefusalReporter(index: index, directory: directory, audit: audit, events: events) {
            writesEvents
        }
        reporter.report(
            RefusedRequest(tag: .ofTests, route: .accessToken, status: .forbidden, cause: cause, text: "because"))
        return Told(lines: lines.withLock { $0 }, events: events.remembered)
    }

    /// The only line, read as JSON.
    private func parsed(_ told: Told) throws -> [String: Any] {
        try #require(told.lines.count == 1)
        return try #require(
            try JSONSerialization.jsonObject(with: Data(told.lines[0].utf8)) as? [String: Any])
    }
}
