import NIOCore
import NIOHPACK

/// One connection of HTTP/2 (RFC 9113), as a server of calls needs it: from bytes to streams, and back.
///
/// Written for this endpoint. All that one read brings is answered in one write, and a call costs no channel of its own. Every
/// rule of the protocol that a client can break ends the stream or the connection. Nothing grows without a bound.
final class HTTP2Connection: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// The answers of one read are written once they are so many bytes. The rest of the read waits if the client is slow.
    private static let unsentLimit = 65_536

    let calls: CallOpener
    let configuration: WorkloadConfiguration
    let eventLoop: any EventLoop
    private var reader: FrameReader
    var headers: HeaderReader
    /// The memory that unfinished frames take.
    private var share: BudgetShare

    var streams: [Int: HTTP2Stream] = [:]
    /// The highest stream that the client has begun.
    var lastStream = 0
    /// The highest stream that is served, once the connection is to end.
    var lastServed: Int?
    /// Streams that the present read has begun, and those that it has answered before the end of their request.
    var begun: [HTTP2Stream] = []
    var answeredEarly: [HTTP2Stream] = []
    var ended = EndedStreams()

    var sendWindow = 65_535
    var initialSendWindow = 65_535
    var receiveWindow = ReceiveWindow()
    /// Streams whose answers wait for a window.
    var waiting = 0 {
        didSet {
            // The time that the client does not take its answers begins here.
            if oldValue == 0, waiting > 0 { lastProgress = eventLoop.now }
        }
    }
    /// The PINGs that the client may send for the data that it got: clients measure their windows so, with one for each frame.
    var pingCredit = 0

    var resets = FloodLimit(200, in: .seconds(30))
    var errors = FloodLimit(200, in: .seconds(30))
    var controls = FloodLimit(200, in: .seconds(30))
    var emptyFrames = 0

    private(set) var context: ChannelHandlerContext?
    /// Frames that the next flush writes.
    var output = ByteBuffer()
    /// The bytes since the last flush, also those that are not in `output`.
    var unsent = 0
    var hasSentFields = false
    private var hasSentSettings = false
    private(set) var isProcessing = false
    private var isReadHeld = false
    /// Whether nothing that arrives counts any more.
    var hasFailed = false

    var timer: Scheduled<Void>?
    /// Closes a connection whose client does not take the last frames.
    var closing: Scheduled<Void>?
    var lastProgress: NIODeadline

    init(_ calls: CallOpener, eventLoop: any EventLoop) {
        self.calls = calls
        self.eventLoop = eventLoop
        configuration = calls.store.configuration
        lastProgress = eventLoop.now
        reader = FrameReader(blockLimit: configuration.headerBytes)
        headers = HeaderReader(listLimit: configuration.headerBytes)
        share = BudgetShare(calls.store.budget, calls.peer)
    }

    /// Whether the client takes what it gets.
    var isWritable: Bool { context?.channel.isWritable ?? false }

    /// Whether the client has said that it speaks HTTP/2, and may be answered so.
    var isSpoken: Bool { reader.hasPreface }

    // MARK: The channel

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        startTimer(until: lastProgress + configuration.idleTime)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        timer?.cancel()
        closing?.cancel()
        closeStreams()
        self.context = nil
    }

    func channelInactive(context: ChannelHandlerContext) {
        hasFailed = true
        dropRest()
        closeStreams()
        context.fireChannelInactive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !hasFailed else { return }
        reader.append(unwrapInboundIn(data))
        process()
    }

    /// Reads on only as fast as the client takes its answers: they would pile up otherwise.
    func read(context: ChannelHandlerContext) {
        guard !hasFailed else { return }
        if context.channel.isWritable { context.read() } else { isReadHeld = true }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable {
            process()
            if isReadHeld, context.channel.isWritable, !hasFailed {
                isReadHeld = false
                context.read()
            }
        } else {
            lastProgress = eventLoop.now
        }
        context.fireChannelWritabilityChanged()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event is WorkloadDrain { goAway() } else { context.fireUserInboundEventTriggered(event) }
    }

    // MARK: Reading

    /// Handles the frames that have arrived, and writes the answers that this makes.
    private func process() {
        guard !isProcessing, !hasFailed else { return }
        isProcessing = true
        let breach = processFrames()
        isProcessing = false
        if let breach { return fail(breach) }
        for stream in begun { stream.handler?.readEnded() }
        begun.removeAll(keepingCapacity: true)
        if !answeredEarly.isEmpty { stopRequests() }
        flush()
    }

    /// - Returns: The error that the connection ends with, if it does.
    private func processFrames() -> HTTP2ErrorCode? {
        do throws(HTTP2Breach) {
            while isWritable {
                guard try processSome() else { break }
                write()
            }
            reader.releaseRead()
        } catch {
            switch error {
            case .connection(let code), .stream(_, let code): return code
            }
        }
        // The pod has no room for the rest of a frame: another connection may have.
        do throws(GRPCStatus) { try share.set(reader.size) } catch { return .enhanceYourCalm }
        return nil
    }

    /// Handles frames until there is none, or the answers are to be written first.
    ///
    /// - Returns: Whether there may be more frames.
    private func processSome() throws(HTTP2Breach) -> Bool {
        while let frame = try reader.next() {
            sendSettings()
            do throws(HTTP2Breach) {
                try receive(frame)
            } catch {
                guard case .stream(let id, let code) = error else { throw error }
                try reset(id, code)
            }
            if unsent >= Self.unsentLimit { return true }
        }
        return false
    }

    /// Forgets the frames that have not been handled.
    func dropRest() {
        reader = FrameReader(blockLimit: configuration.headerBytes)
        headers = HeaderReader(listLimit: configuration.headerBytes)
        // Less always fits.
        try? share.set(0)
    }

    // MARK: Writing

    /// Writes what has been made, unless the frames that are being handled will make more.
    func flush() {
        if !isProcessing { write() }
    }

    private func write() {
        guard unsent > 0, let context else { return }
        unsent = 0
        if output.readableBytes > 0 { context.write(wrapOutboundOut(takeOutput()), promise: nil) }
        context.flush()
    }

    /// Takes the frames out, in a buffer of about their size: what waits for a slow client is counted by its bytes.
    private func takeOutput() -> ByteBuffer {
        defer { output = ByteBuffer() }
        guard 2 * output.readableBytes < output.capacity else { return output }
        var frames = ByteBufferAllocator().buffer(capacity: output.readableBytes)
        frames.writeImmutableBuffer(output)
        return frames
    }

    /// Begins a frame whose payload the caller writes into `output`.
    func writeHead(_ type: HTTP2FrameType, flags: UInt8 = 0, stream: Int, length: Int) {
        if output.capacity == 0 { output = ByteBufferAllocator().buffer(capacity: 4096) }
        output.writeFrameHead(type, flags: flags, stream: stream, length: length)
        unsent += ByteBuffer.frameHeadLength + length
    }

    /// Sends bytes from where they are.
    func writeInPlace(_ bytes: ByteBuffer) {
        guard let context else { return }
        context.write(wrapOutboundOut(takeOutput()), promise: nil)
        context.write(wrapOutboundOut(bytes), promise: nil)
    }

    /// Says what this server asks of its client: the preface that it owes.
    func sendSettings() {
        guard !hasSentSettings else { return }
        hasSentSettings = true
        let settings: [(identifier: UInt16, value: UInt32)] = [
            (3, UInt32(clamping: configuration.streamsPerConnection)), (6, UInt32(clamping: configuration.headerBytes)),
        ]
        writeHead(.settings, stream: 0, length: 6 * settings.count)
        for (identifier, value) in settings {
            output.writeInteger(identifier)
            output.writeInteger(value)
        }
    }
}

@available(*, unavailable)
extension HTTP2Connection: Sendable {}
