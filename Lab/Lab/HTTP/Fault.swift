import NIOCore
import Synchronization

/// One way in which a server of the lab misbehaves towards a request or a connection.
///
/// A server that is down is not a fault of a request: see ``LabHTTPServer/takeDown()``.
package enum FaultEffect: Sendable, Equatable {
    /// Resets the connection as soon as it is accepted, before TLS and before a byte is read.
    case resetOnAccept
    /// Reads the whole request, then resets the connection.
    case resetAfterRequest
    /// Reads the whole request, then closes the connection in an orderly way, unanswered.
    case drop
    /// Answers properly, but this much later.
    case delay(Duration)
    /// Reads the request and never answers.
    case hang
    /// Answers with this status and JSON text instead of the handler's answer.
    case status(Int, body: String = "", retryAfterSeconds: Int? = nil)
    /// Sends bytes that are not HTTP.
    case garbage
    /// Answers 200 `application/json` with half a JSON object.
    case malformedJSON
    /// Sends the handler's answer with a `Content-Length` that the body does not reach, then closes.
    case truncatedBody
}

/// The faults that a server shows, switchable while it runs.
///
/// The first fault that matches a request takes effect. A fault with a count ends by itself; the others last until
/// ``clear()``.
package final class FaultPlan: Sendable {
    private struct Fault {
        let effect: FaultEffect
        var remaining: Int?
        let matches: @Sendable (LabRequest) -> Bool
    }

    private let faults = Mutex<[Fault]>([])

    /// A plan without faults.
    package init() {}

    /// Shows `effect` for the next `times` requests (`nil`: until cleared) whose path starts with `pathPrefix` and
    /// that satisfy `predicate`. ``FaultEffect/resetOnAccept`` knows no request and counts connections.
    package func inject(
        _ effect: FaultEffect,
        times: Int? = nil,
        pathPrefix: String = "",
        where predicate: @escaping @Sendable (LabRequest) -> Bool = { _ in true }
    ) {
        let fault = Fault(effect: effect, remaining: times) { request in
            request.path.hasPrefix(pathPrefix) && predicate(request)
        }
        faults.withLock { $0.append(fault) }
    }

    /// Ends all faults.
    package func clear() {
        faults.withLock { $0 = [] }
    }

    /// Whether the connection that was just accepted is to be reset.
    func resetsNextConnection() -> Bool {
        take { $0.effect == .resetOnAccept } != nil
    }

    /// The fault that `request` meets, counted as shown.
    func effect(on request: LabRequest) -> FaultEffect? {
        take { $0.effect != .resetOnAccept && $0.matches(request) }
    }

    private func take(_ isWanted: (Fault) -> Bool) -> FaultEffect? {
        faults.withLock { faults in
            guard let index = faults.firstIndex(where: isWanted) else { return nil }
            let effect = faults[index].effect
            if let remaining = faults[index].remaining {
                if remaining > 1 {
                    faults[index].remaining = remaining - 1
                } else {
                    faults.remove(at: index)
                }
            }
            return effect
        }
    }
}
