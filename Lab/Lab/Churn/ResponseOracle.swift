import Foundation
import Synchronization

/// Judges answers by the emulators' own books: whose token it is.
package final class ResponseOracle: Sendable {
    private let tally = Mutex(OutcomeCounts())
    private let ledger: LabTokenLedger

    package init(_ world: LabWorld) {
        ledger = world.cluster.ledger
    }

    package var value: OutcomeCounts { tally.withLock { $0 } }

    package enum Expectation: Sendable {
        /// A token of the caller's own.
        case own
        /// The same, or word that its pod is gone.
        case ownOrGone
        /// No answer, or word that a policy denies one.
        case denied
        /// An identity token of the caller's own.
        case ownIdentity
        /// This status, and a body that contains this.
        case answer(Int, containing: String)
        /// An end without a token.
        case cutOff
    }

    /// Counts what the pod with `uid` got.
    package func judge(_ result: ClientRequest.Result, of uid: String, as expectation: Expectation) {
        tally.withLock { tally in
            switch (result, expectation) {
            case (.answered(let status, let body), .answer(let expected, containing: let text))
            where status == expected && body.contains(text):
                tally.own += 1
            case (.answered(200, let body), .ownIdentity): count(body, of: uid, isAllowed: true, in: &tally)
            case (.answered(200, let body), .denied), (.answered(200, let body), .cutOff):
                count(Self.accessToken(in: body), of: uid, isAllowed: false, in: &tally)
            case (.answered(200, let body), .own), (.answered(200, let body), .ownOrGone):
                count(Self.accessToken(in: body), of: uid, isAllowed: true, in: &tally)
            case (.answered(408, _), .cutOff), (.reset, .cutOff): tally.own += 1
            case (.answered(403, let body), .ownOrGone) where Self.says(body, isGone: uid): tally.gone += 1
            case (.answered(403, let body), .denied) where body.contains("is denied the metadata server"):
                tally.denied += 1
            case (.refused, .denied): tally.denied += 1
            // Also for a pod that went before anybody here had seen its record.
            case (.answered(503, let body), .own), (.answered(503, let body), .ownOrGone):
                if body.contains("(UID \(uid)) is not known on this node yet") {
                    tally.tooNew += 1
                } else {
                    tally.unexplained.append("\(uid): 503 \(body)")
                }
            default: tally.unexplained.append("\(uid) as \(expectation): \(result)")
            }
        }
    }

    private func count(_ token: String, of uid: String, isAllowed: Bool, in tally: inout OutcomeCounts) {
        let owner = ledger.describe(token)?.subject.podUID
        if owner == uid, isAllowed {
            tally.own += 1
        } else {
            tally.wrong.append("\(uid) got \(owner ?? "nobody")'s")
        }
    }

    private static func accessToken(in body: String) -> String {
        (try? JSON(parsing: body.utf8))?["access_token"]?.string ?? ""
    }

    /// Whether the watch says so, or the API server, which refuses to bind a token to a pod that it does not have.
    private static func says(_ body: String, isGone uid: String) -> Bool {
        body.contains("The pod of this connection is gone") || body.contains("does not exist any more")
            || body.contains("not found") || body.contains("the UID in the bound object reference (\(uid))")
    }
}
