import BPF
import Glibc
import Linux
import NIOCore
import NIOPosix

/// Gives way to a successor, and resumes if the successor does not begin. Both calls may wait.
package protocol Yielding: Sendable {
    func yield()
    func resume()
    /// Whether the agent ends, and takes nothing back any more.
    var hasEnded: Bool { get }
}

extension Yielding {
    package var hasEnded: Bool { false }
}

/// Carries out what ``HandoverSession`` decides for one connection.
final class HandoverHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let endpoint: HandoverEndpoint
    private var session = HandoverSession()
    private var received = ByteBuffer()
    private var isActive = false
    private var hasBegun = false
    /// Whether the agent is giving way, or taking back what it gave: no other session may begin then.
    private var isBetween = false
    private var deadline: Scheduled<Void>?

    init(endpoint: HandoverEndpoint) {
        self.endpoint = endpoint
    }

    func channelActive(context: ChannelHandlerContext) {
        let channel = context.channel
        let peer = try? channel.pipeline.syncOperations.withUnsafeTransportIfAvailable(
            of: NIOBSDSocket.Handle.self, PeerCredentials.init(of:))
        guard case .some(.some(let peer)) = peer, peer.userID == 0 else {
            endpoint.refused("the peer is not root")
            return context.close(promise: nil)
        }
        isActive = true
        deadline = context.eventLoop.scheduleTask(in: HandoverEndpoint.sessionTime) { channel.close(promise: nil) }
        let copy = try? channel.pipeline.syncOperations.withUnsafeTransportIfAvailable(of: NIOBSDSocket.Handle.self) {
            fcntl($0, F_DUPFD_CLOEXEC, 0)
        }
        guard let copy, copy >= 0 else { return context.close(promise: nil) }
        let endpoint = endpoint
        context.eventLoop.makeFutureWithTask { try await endpoint.hello(over: copy) }
            .assumeIsolated().whenComplete { self.received($0, context) }
    }

    /// The first message is in, or the peer is refused.
    private func received(_ hello: Result<HandoverMessage, any Error>, _ context: ChannelHandlerContext) {
        guard isActive else { return }
        switch hello {
        case .success(let message):
            perform(session.received(message.kind), message, context)
            // Should this fail, the session ends by its deadline.
            _ = context.channel.setOption(.autoRead, value: true)
        case .failure(let error):
            endpoint.refused("\(error)")
            context.close(promise: nil)
        }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard isActive else { return }
        var bytes = unwrapInboundIn(data)
        received.writeBuffer(&bytes)
        while let bytes = received.readBytes(length: HandoverMessage.length) {
            do throws(HandoverError) {
                let message = try HandoverMessage(parsing: bytes)
                perform(session.received(message.kind), message, context)
            } catch {
                endpoint.refused(error.description)
                return context.close(promise: nil)
            }
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        guard isActive else { return }
        isActive = false
        deadline?.cancel()
        perform(session.connectionEnded(), nil, context)
        end()
    }

    /// Lets another session begin, once the connection has ended and this agent is what it was.
    private func end() {
        guard hasBegun, !isActive, !isBetween else { return }
        hasBegun = false
        endpoint.end()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }

    /// Sends from a thread that may wait: NIO would keep copies and not wipe them.
    private func sendCredentials(_ context: ChannelHandlerContext) {
        let copy = try? context.channel.pipeline.syncOperations.withUnsafeTransportIfAvailable(
            of: NIOBSDSocket.Handle.self
        ) { fcntl($0, F_DUPFD_CLOEXEC, 0) }
        guard let copy, copy >= 0 else { return context.close(promise: nil) }
        let endpoint = endpoint
        NIOThreadPool.singleton.runIfActive(eventLoop: context.eventLoop) { endpoint.sendCredentials(over: copy) }
            .assumeIsolated().whenComplete { _ in context.close(promise: nil) }
    }

    private func perform(
        _ action: HandoverSession.Action, _ message: HandoverMessage?, _ context: ChannelHandlerContext
    ) {
        let endpoint = endpoint
        switch action {
        case .none: break
        case .close: context.close(promise: nil)
        case .offer:
            hasBegun = endpoint.begin()
            guard hasBegun else {
                session.refused()
                endpoint.refused("one is in progress, or the agent is ending")
                return context.close(promise: nil)
            }
            let isSent = try? context.channel.pipeline.syncOperations.withUnsafeTransportIfAvailable(
                of: NIOBSDSocket.Handle.self, endpoint.sendOffer(over:))
            if isSent != true { context.close(promise: nil) }
        case .yield:
            // The keeper may be waiting for the opener.
            isBetween = true
            NIOThreadPool.singleton.runIfActive(eventLoop: context.eventLoop) { endpoint.yield() }
                .assumeIsolated().whenComplete { _ in
                    self.isBetween = false
                    self.perform(self.session.yielded(), nil, context)
                    self.end()
                }
        case .sayYours:
            let yours = HandoverMessage(.yours, abi: PinDirectory.abiVersion, processID: UInt32(getpid()))
            context.writeAndFlush(wrapOutboundOut(ByteBuffer(bytes: yours.bytes)), promise: nil)
        case .finish:
            endpoint.finish(message?.processID ?? 0)
            context.close(promise: nil)
        case .sendCredentials: sendCredentials(context)
        case .resume:
            isBetween = true
            NIOThreadPool.singleton.runIfActive(eventLoop: context.eventLoop) { endpoint.resume() }
                .assumeIsolated().whenComplete { _ in
                    self.isBetween = false
                    self.end()
                }
        }
    }
}
