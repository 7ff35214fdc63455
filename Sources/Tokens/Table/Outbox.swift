/// The tables' decisions, which their caller carries out after the lock is released.
struct Outbox: Sendable {
    struct Answer<Value: Sendable>: Sendable {
        var waiter: Waiter<Value>
        var result: Result<Value, TokenFailure>
    }

    var tokens: [Answer<MintedToken>] = []
    var serviceAccounts: [Answer<ServiceAccountRecord>] = []
    var jobs: [FetchJob] = []

    var isEmpty: Bool { tokens.isEmpty && serviceAccounts.isEmpty && jobs.isEmpty }

    mutating func answer(_ waiter: Waiter<MintedToken>, _ result: Result<MintedToken, TokenFailure>) {
        tokens.append(Answer(waiter: waiter, result: result))
    }

    mutating func answer(
        _ waiter: Waiter<ServiceAccountRecord>, _ result: Result<ServiceAccountRecord, TokenFailure>
    ) {
        serviceAccounts.append(Answer(waiter: waiter, result: result))
    }

    /// Has those answered first that asked first, where tables without an order were gone through.
    mutating func sort() {
        tokens.sort { $0.waiter.id < $1.waiter.id }
        serviceAccounts.sort { $0.waiter.id < $1.waiter.id }
    }

    /// Completions run on the caller; jobs go to `start`.
    consuming func carryOut(start: (FetchJob) -> Void) {
        for job in jobs { start(job) }
        for answer in tokens { answer.waiter.completion(answer.result) }
        for answer in serviceAccounts { answer.waiter.completion(answer.result) }
    }
}
