import Logging
import NIOCore

/// Waits when connections cannot be accepted, because there are no descriptors or no memory left, and says so in a line a
/// minute at most.
///
/// The listening socket stays readable meanwhile. Holding back `read()` would not keep the event loop from trying again
/// at once and for ever; no longer waiting for readability does.
final class AcceptFailureHandler: ChannelInboundHandler {
    typealias InboundIn = any Channel

    private static let pause = TimeAmount.seconds(1)
    private static let silence = TimeAmount.minutes(1)

    private let logger: Logger
    private let acceptFailed: @Sendable () -> Void
    private var nextLine = NIODeadline.distantPast

    init(logger: Logger, acceptFailed: @escaping @Sendable () -> Void) {
        self.logger = logger
        self.acceptFailed = acceptFailed
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        acceptFailed()
        let channel = context.channel
        channel.setOption(.autoRead, value: false).whenComplete { _ in }
        context.eventLoop.scheduleTask(in: Self.pause) {
            // A listener that was closed meanwhile refuses.
            channel.setOption(.autoRead, value: true).whenComplete { _ in }
        }
        let now = context.eventLoop.now
        guard now >= nextLine else { return }
        nextLine = now + Self.silence
        logger.error(
            "connections cannot be accepted; they wait, and are tried again once a second",
            metadata: ["reason": "\(error)"])
    }
}

@available(*, unavailable)
extension AcceptFailureHandler: Sendable {}
