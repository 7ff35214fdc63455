import NIOCore

extension RequestHandler {
    /// The memory of a complete request in the queue beyond its bytes, roughly.
    private static let bytesPerQueuedRequest = 512

    /// Whether to read from the connection: also while a request is held, and, to drop what arrives, after the last answer.
    var readsOn: Bool { state.wantsInput || isClosing || current?.held != nil }

    /// Tells the registry how much this connection holds of requests without an answer, and of answers that its client
    /// does not read. Closes the connections that the registry names for it.
    func noteUnanswered() {
        if state.isBetweenRequests { unanswered = 0 }
        guard let registry, let channel else { return }
        let answers = state.isBlocked ? MetadataServer.answersInMemory.high : 0
        let bytes = unanswered + state.queuedRequests * Self.bytesPerQueuedRequest + answers
        guard bytes != noted else { return }
        noted = bytes
        for excess in registry.noteUnfinished(bytes, of: channel, owner: record?.owner) {
            observer.limitHit(.unfinishedBytes)
            excess.close(promise: nil)
        }
    }
}
