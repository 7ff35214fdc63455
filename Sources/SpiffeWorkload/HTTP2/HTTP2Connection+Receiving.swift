import NIOCore

/// Receives frames: each as the state of its stream lets it (RFC 9113, sections 5 and 6).
extension HTTP2Connection {
    /// The least by which a window may be opened without a limit while answers wait.
    private static let leastIncrement = 1024

    func receive(_ frame: HTTP2Frame) throws(HTTP2Breach) {
        switch frame {
        case .data(let id, let bytes, let size, let isLast):
            try receiveData(id, bytes, size: size, isLast: isLast)
        case .headers(let id, let block, let isLast): try receiveHeaders(id, block, isLast: isLast)
        case .reset(let id): try receiveReset(id)
        case .windowUpdate(let id, let increment): try receiveWindowUpdate(id, increment)
        case .settings(let window):
            try countControl()
            if let window { try setInitialSendWindow(window) }
            writeHead(.settings, flags: HTTP2Flag.acknowledgement, stream: 0, length: 0)
            writePending()
        case .ping(let data):
            if pingCredit > 0 { pingCredit -= 1 } else { try countControl() }
            writeHead(.ping, flags: HTTP2Flag.acknowledgement, stream: 0, length: 8)
            output.writeInteger(data)
        case .other: try countControl()
        }
    }

    /// Counts a frame that costs its sender little and moves no call on.
    private func countControl() throws(HTTP2Breach) {
        guard controls.take(eventLoop.now) else { throw .connection(.enhanceYourCalm) }
    }

    // MARK: Streams

    private func receiveHeaders(_ id: Int, _ block: ByteBuffer, isLast: Bool) throws(HTTP2Breach) {
        emptyFrames = 0
        if let stream = streams[id] { return try receiveTrailers(stream, block, isLast: isLast) }
        guard id > lastStream else {
            try checkEnded(id)
            try countControl()
            return try headers.skip(block)
        }
        // 5.1.1: a client's streams are odd.
        guard !id.isMultiple(of: 2) else { throw .connection(.protocolError) }
        lastStream = id
        let request = try headers.request(block, calls.head)
        // 6.8: the client has been told that this one is not served, and calls again elsewhere.
        guard lastServed == nil else { return }
        guard let request else { throw .stream(id, .protocolError) }
        guard streams.count < configuration.streamsPerConnection else { throw .stream(id, .refusedStream) }
        if isLast, let length = request.contentLength, length > 0 { throw .stream(id, .protocolError) }
        let stream = HTTP2Stream(
            id, of: self, sendWindow: initialSendWindow, bodyLength: request.contentLength, isRemoteClosed: isLast)
        streams[id] = stream
        calls.open(request.call, on: stream)
        if stream.handler != nil { begun.append(stream) }
    }

    private func receiveTrailers(_ stream: HTTP2Stream, _ block: ByteBuffer, isLast: Bool) throws(HTTP2Breach) {
        let isLegal = try headers.trailers(block)
        guard !stream.isRemoteClosed else { throw .stream(stream.id, .streamClosed) }
        // 8.1: trailers are the end.
        guard isLegal, isLast else { throw .stream(stream.id, .protocolError) }
        try receiveBody(ByteBuffer(), isLast: true, stream)
    }

    private func receiveData(_ id: Int, _ bytes: ByteBuffer, size: Int, isLast: Bool) throws(HTTP2Breach) {
        guard receiveWindow.take(size) else { throw .connection(.flowControlError) }
        if let increment = receiveWindow.update() { writeWindowUpdate(0, increment) }
        emptyFrames = bytes.readableBytes == 0 && !isLast ? emptyFrames + 1 : 0
        guard emptyFrames <= 1 else { throw .connection(.enhanceYourCalm) }
        guard let stream = streams[id] else { return try checkEnded(id) }
        guard !stream.isRemoteClosed else { throw .stream(id, .streamClosed) }
        guard stream.receiveWindow.take(size) else { throw .stream(id, .flowControlError) }
        try receiveBody(bytes, isLast: isLast, stream)
        guard !isLast, let handler = stream.handler, handler.wantsBytes, let increment = stream.receiveWindow.update()
        else { return }
        writeWindowUpdate(id, increment)
    }

    private func receiveBody(_ bytes: ByteBuffer, isLast: Bool, _ stream: HTTP2Stream) throws(HTTP2Breach) {
        if let left = stream.bodyLeft {
            // 8.1.1: the body is as long as its header says.
            let rest = left - bytes.readableBytes
            guard isLast ? rest == 0 : rest >= 0 else { throw .stream(stream.id, .protocolError) }
            stream.bodyLeft = rest
        }
        if isLast { stream.isRemoteClosed = true }
        stream.handler?.received(bytes, isLast: isLast)
        // The answer to a request that goes on may be complete already.
        if isLast, stream.isAnswered, streams[stream.id] === stream { remove(stream) }
    }

    private func receiveReset(_ id: Int) throws(HTTP2Breach) {
        guard let stream = streams[id] else { return try checkBegun(id) }
        // One-shot calls end their streams so once they have their message. Before the answer began it is work for nothing.
        guard stream.hasSentHead || resets.take(eventLoop.now) else { throw .connection(.enhanceYourCalm) }
        close(stream)
    }

    /// Refuses a frame on a stream that never began, or whose client has ended it (5.1).
    private func checkEnded(_ id: Int) throws(HTTP2Breach) {
        try checkBegun(id)
        if let lastServed, id > lastServed { return }
        guard ended.contains(id) else { throw .connection(.streamClosed) }
    }

    /// Refuses a frame on a stream that never began (5.1).
    private func checkBegun(_ id: Int) throws(HTTP2Breach) {
        guard id <= lastStream, !id.isMultiple(of: 2) else { throw .connection(.protocolError) }
    }

    // MARK: Windows

    private func receiveWindowUpdate(_ id: Int, _ increment: Int) throws(HTTP2Breach) {
        // Most clients open windows before anything waits. One that lets bytes through by drops makes a frame of each.
        if waiting > 0, increment < Self.leastIncrement { try countControl() }
        guard id != 0 else {
            guard increment > 0 else { throw .connection(.protocolError) }
            // With an open window, what waits does so for the window of its own stream.
            let wasClosed = sendWindow <= 0
            sendWindow += increment
            guard sendWindow <= FrameReader.windowMax else { throw .connection(.flowControlError) }
            if wasClosed { writePending() }
            return
        }
        guard let stream = streams[id] else { return try checkBegun(id) }
        guard increment > 0 else { throw .stream(id, .protocolError) }
        stream.sendWindow += increment
        guard stream.sendWindow <= FrameReader.windowMax else { throw .stream(id, .flowControlError) }
        if stream.hasPending { stream.writePending() }
    }

    /// Changes the windows of all streams, which may become negative (6.9.2).
    private func setInitialSendWindow(_ size: Int) throws(HTTP2Breach) {
        let change = size - initialSendWindow
        initialSendWindow = size
        for stream in streams.values {
            stream.sendWindow += change
            guard stream.sendWindow <= FrameReader.windowMax else { throw .connection(.flowControlError) }
        }
    }

    private func writePending() {
        guard waiting > 0 else { return }
        for stream in streams.values.filter(\.hasPending).sorted(by: { $0.id < $1.id }) { stream.writePending() }
    }

    private func writeWindowUpdate(_ id: Int, _ increment: Int) {
        writeHead(.windowUpdate, stream: id, length: 4)
        output.writeInteger(UInt32(truncatingIfNeeded: increment))
    }
}
