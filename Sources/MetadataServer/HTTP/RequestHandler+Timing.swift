import MetadataProtocol
import NIOCore

/// The one timer of a connection.
///
/// A deadline that moves later, which every request does, costs an assignment: the timer that is already set finds at
/// its end that there is more to wait for.
struct ConnectionTimer {
    fileprivate var deadline = NIODeadline.distantFuture
    /// The phase that the deadline is for; `nil` if it was set by hand.
    fileprivate var phase: ConnectionState.Phase?
    fileprivate var scheduled: Scheduled<Void>?
    fileprivate var scheduledFor = NIODeadline.distantFuture

    mutating func cancel() {
        scheduled?.cancel()
        scheduled = nil
    }
}

extension RequestHandler {
    /// Starts the deadline of the connection's phase, if the phase has changed.
    func updateDeadline(_ context: ChannelHandlerContext) {
        let phase = state.phase
        guard !isClosing, phase != timer.phase else { return }
        timer.phase = phase
        let now = context.eventLoop.now
        record?.enter(phase.snapshotState, at: now)
        let time =
            switch phase {
            case .request: limits.requestTimeout
            case .idle: limits.idleTimeout
            case .answer: limits.answerTimeout
            }
        set(now + time, context)
    }

    func startTimer(after time: TimeAmount, _ context: ChannelHandlerContext) {
        set(context.eventLoop.now + time, context)
    }

    /// Starts the timer until a held request's value is looked at again, or its time is over.
    func startTimer(untilNextLook context: ChannelHandlerContext) {
        guard let held = current?.held else { return }
        timer.phase = state.phase
        set(min(context.eventLoop.now + limits.watchInterval, held.end), context)
    }

    private func set(_ deadline: NIODeadline, _ context: ChannelHandlerContext) {
        timer.deadline = deadline
        guard timer.scheduled == nil || deadline < timer.scheduledFor else { return }
        timer.scheduled?.cancel()
        schedule(context)
    }

    private func schedule(_ context: ChannelHandlerContext) {
        timer.scheduledFor = timer.deadline
        timer.scheduled = context.eventLoop.assumeIsolated().scheduleTask(deadline: timer.deadline) {
            self.timer.scheduled = nil
            if context.eventLoop.now < self.timer.deadline {
                self.schedule(context)
            } else {
                self.expire(context)
            }
        }
    }

    private func expire(_ context: ChannelHandlerContext) {
        guard !isClosing else {
            context.close(promise: nil)
            return
        }
        if let held = current?.held {
            look(at: held, context)
            return
        }
        switch state.phase {
        case .request:
            perform(state.inputTimedOut(), context)
        case .idle:
            observer.limitHit(.idleTimeout)
            perform(state.inputTimedOut(), context)
        case .answer:
            observer.limitHit(.answerTimeout)
            guard let request = current?.request else {
                // Answers are ready, but the client does not read them.
                context.close(promise: nil)
                return
            }
            current?.exchange.closes = true
            finish(responder.form(ErrorResponse.response(to: .answerTimedOut), for: request), context)
        }
    }

    /// Compares a held value with what it is now; a caller that has lost its identity gets a refusal.
    private func look(at held: Held, _ context: ChannelHandlerContext) {
        guard let current else { return }
        if context.eventLoop.now >= held.end {
            finish(held.latest, context)
        } else if current.isFetching {
            startTimer(untilNextLook: context)
        } else {
            resolve(responder.respond(to: current.request, from: tag), context)
            if self.current != nil { startTimer(untilNextLook: context) }
        }
    }
}
