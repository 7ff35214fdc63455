import Foundation
import Fuzzing
import NIOCore
import Testing

@testable import KubernetesAPI

/// The node's side of PodCertificateRequests, and the Lease of the signer's replicas.
@Suite struct PodCertificateTests {
    private static let event = """
        {"type":"MODIFIED","object":{"metadata":{"name":"r","namespace":"shop","uid":"u","resourceVersion":"7"},\
        "spec":{"signerName":"podidentd.io/spiffe","podName":"p","podUID":"pu","serviceAccountName":"web",\
        "serviceAccountUID":"su","nodeName":"n","nodeUID":"nu","maxExpirationSeconds":86400,\
        "stubPKCS10Request":"AAAA"},"status":{"conditions":[{"type":"Issued","status":"True","reason":"Issued",\
        "message":"m","lastTransitionTime":"2026-11-29T00:00:00Z"}],"certificateChain":"PEM"}}}

        """

    private static func end(_ texts: String..., uid: String = "u") -> PodCertificateDecisionReader.End? {
        var reader = PodCertificateDecisionReader(uid: uid)
        for text in texts where reader.end == nil { _ = reader.read(ByteBuffer(string: text)) }
        return reader.end
    }

    @Test("a watch is read until the one request is decided, gone, or the stream is none")
    func decisions() {
        guard case .decided(let request) = Self.end(Self.event) else {
            Issue.record("not decided")
            return
        }
        #expect(request.decision?.outcome == .issued && request.status?.certificateChain == "PEM")
        #expect(Self.end(Self.event, uid: "other") == nil)
        #expect(Self.end(#"{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"9"}}}"# + "\n") == nil)
        #expect(Self.end(#"{"type":"DELETED","object":{"metadata":{"uid":"u"}}}"# + "\n") == .gone)
        #expect(Self.end(#"{"type":"ERROR","object":{"code":410}}"# + "\n") == .unreadable)
        #expect(Self.end("nonsense\n") == .unreadable)
        #expect(Self.end(String(repeating: "x", count: PodCertificateEvents.lineLimit + 1)) == .unreadable)
        // Undecided, and a condition that is not true.
        #expect(Self.end(Self.event.replacingOccurrences(of: "\"True\"", with: "\"False\"")) == nil)
        for outcome in ["Denied", "Failed"] {
            let event = Self.event.replacingOccurrences(of: "\"Issued\"", with: "\"\(outcome)\"")
            guard case .decided(let request) = Self.end(event) else {
                Issue.record("\(outcome)")
                return
            }
            #expect(request.decision?.outcome.rawValue == outcome)
        }
    }

    @Test("cut anywhere and changed in any way, a watch gives the same events as whole, and never another's request")
    func fuzz() {
        let whole = Self.events([Array(Self.event.utf8)])
        for cut in 0...Self.event.utf8.count {
            let bytes = Array(Self.event.utf8)
            #expect(Self.events([Array(bytes[..<cut]), Array(bytes[cut...])]) == whole)
        }
        let mutator = Mutator(
            seeds: [Array(Self.event.utf8)],
            words: ["\n", "{", "}", "\"uid\":\"u\"", "\"type\":\"ERROR\"", "\"conditions\":[]", "null"],
            limit: 16 * 1024)
        FuzzRun.seeds(usual: 2_000) { seed in
            var random = FuzzGenerator(seed: seed)
            let input = mutator.input(&random)
            FuzzRun.note(input)
            let cut = Int.random(in: 0...input.count, using: &random)
            #expect(Self.events([Array(input[..<cut]), Array(input[cut...])]) == Self.events([input]), "seed \(seed)")
            var reader = PodCertificateDecisionReader(uid: "u")
            _ = reader.read(ByteBuffer(bytes: input))
            if case .decided(let request) = reader.end { #expect(request.metadata.uid == "u") }
        }
    }

    private static func events(_ chunks: [[UInt8]]) -> [PodCertificateEvent]? {
        var reader = PodCertificateEvents()
        var all: [PodCertificateEvent] = []
        for chunk in chunks {
            guard let events = reader.read(ByteBuffer(bytes: chunk)) else { return nil }
            all += events
        }
        return all
    }

    @Test("requests that no signer decides are created one at a time, with pauses that grow, until one is decided")
    func gate() {
        var gate = PodCertificateGate()
        var now = ContinuousClock.now
        for _ in 0..<PodCertificateGate.openLimit { #expect(gate.begin(at: now) == nil) }
        #expect(gate.begin(at: now) != nil)
        for _ in 0..<PodCertificateGate.openLimit { gate.end(wasDecided: true, at: now) }
        var created = 0
        let end = now + .seconds(1200)
        while now < end {
            if gate.begin(at: now) == nil {
                created += 1
                #expect(gate.begin(at: now + .seconds(9)) != nil || created == 1)
                if created == 1 { gate.end(wasDecided: nil, at: now) }
                gate.end(wasDecided: false, at: now + .seconds(10))
            }
            now += .seconds(10)
        }
        // Objects live for some 20 minutes: no node leaves more than these.
        #expect((8...16).contains(created), "\(created)")
        #expect(gate.begin(at: now + .seconds(200)) == nil)
        gate.end(wasDecided: true, at: now + .seconds(200))
        for _ in 0..<PodCertificateGate.openLimit { #expect(gate.begin(at: now + .seconds(200)) == nil) }
    }

    @Test("a Lease has one holder at any time, whatever the replicas' clocks say")
    func leases() {
        let start = ContinuousClock.now
        func lease(_ holder: String, _ renewed: String, version: String = "1") -> Lease {
            Lease(
                name: "l", namespace: "n",
                spec: Lease.Spec(
                    holderIdentity: holder, leaseDurationSeconds: 15, acquireTime: "then", renewTime: renewed,
                    leaseTransitions: 3), resourceVersion: version)
        }
        var a = LeasePlan(identity: "a")
        var b = LeasePlan(identity: "b")
        #expect(a.step(nil, now: start) == .create)
        a.wrote(began: start)
        #expect(a.holds(at: start + .seconds(9)) && !a.holds(at: start + .seconds(10)))
        #expect(b.step(lease("a", "1"), now: start) == .wait && !b.holds(at: start))
        // The holder renews: its time begins again for the other.
        let own = LeasePlan.Step.write(resourceVersion: "1", isNew: false, transitions: 3)
        let taken = LeasePlan.Step.write(resourceVersion: "1", isNew: true, transitions: 4)
        #expect(a.step(lease("a", "1"), now: start + .seconds(3)) == own)
        #expect(b.step(lease("a", "2"), now: start + .seconds(14)) == .wait)
        #expect(b.step(lease("a", "2"), now: start + .seconds(28)) == .wait)
        #expect(b.step(lease("a", "2"), now: start + .seconds(29)) == taken)
        // By then the one that could not renew has stopped.
        #expect(!a.holds(at: start + .seconds(13)))
        b.lost()
        #expect(!b.holds(at: start + .seconds(29)))
        // A lease that was given back is taken at once.
        #expect(b.step(lease("", "3"), now: start + .seconds(30)) == taken)
        b.wrote(began: start + .seconds(30))
        #expect(b.step(lease("a", "4"), now: start + .seconds(31)) == .wait && !b.holds(at: start + .seconds(31)))
    }
}
