import NIOCore

/// Writes the frames of streams, and ends streams and the connection.
extension HTTP2Connection {
    // MARK: Frames of streams

    func write(_ block: FieldBlock, of id: Int, isLast: Bool) {
        let flags = isLast ? HTTP2Flag.endHeaders | HTTP2Flag.endStream : HTTP2Flag.endHeaders
        writeHead(.headers, flags: flags, stream: id, length: block.bytes.count + (hasSentFields ? 0 : 1))
        if !hasSentFields { output.writeInteger(FieldBlock.noTable) }
        hasSentFields = true
        output.writeBytes(block.bytes)
    }

    /// Writes as many bytes as the windows let, and takes them out of `data`.
    func write(_ data: inout HTTP2Data, of stream: HTTP2Stream) {
        while data.bytes.readableBytes > 0 {
            let size = min(data.bytes.readableBytes, sendWindow, stream.sendWindow, FrameReader.payloadLimit)
            guard size > 0, let part = data.bytes.readSlice(length: size) else { return }
            sendWindow -= size
            stream.sendWindow -= size
            // A client that reads what has waited is none that is stuck.
            if stream.hasPending { lastProgress = eventLoop.now }
            writeHead(.data, stream: stream.id, length: size)
            pingCredit = min(pingCredit + 1, 64)
            if data.isSecret { writeInPlace(part) } else { output.writeImmutableBuffer(part) }
        }
    }

    // MARK: Ends of streams

    /// Forgets a stream whose answer is complete, once its request is: often the end of it is in the same read.
    func answered(_ stream: HTTP2Stream) {
        if stream.isRemoteClosed { return remove(stream) }
        answeredEarly.append(stream)
        if !isProcessing { stopRequests() }
    }

    /// Asks clients that have their answer to send no more of their requests (8.1).
    func stopRequests() {
        for stream in answeredEarly where streams[stream.id] === stream {
            writeReset(stream.id, .noError)
            remove(stream)
        }
        answeredEarly = []
    }

    /// Ends a stream whose frame breaks the protocol.
    func reset(_ id: Int, _ code: HTTP2ErrorCode) throws(HTTP2Breach) {
        guard errors.take(eventLoop.now) else { throw .connection(.enhanceYourCalm) }
        writeReset(id, code)
        if let stream = streams[id] { close(stream) }
    }

    private func writeReset(_ id: Int, _ code: HTTP2ErrorCode) {
        ended.insert(id)
        writeHead(.reset, stream: id, length: 4)
        output.writeInteger(code.rawValue)
    }

    /// Ends a stream whose client does not take its answer. What waits, such as a private key, is dropped.
    ///
    /// Clients of gRPC try again after ENHANCE_YOUR_CALM; after CANCEL they do not.
    func dropAnswer(of stream: HTTP2Stream) {
        writeReset(stream.id, .enhanceYourCalm)
        remove(stream)
    }

    /// Ends a stream whose handler does not know it yet.
    func close(_ stream: HTTP2Stream) {
        let handler = stream.handler
        remove(stream)
        handler?.closed()
    }

    func remove(_ stream: HTTP2Stream) {
        streams[stream.id] = nil
        stream.release()
        guard streams.isEmpty else { return }
        lastProgress = eventLoop.now
        if lastServed != nil { closeOnceWritten() }
    }

    func closeStreams() {
        let open = Array(streams.values)
        streams = [:]
        begun = []
        answeredEarly = []
        for stream in open {
            let handler = stream.handler
            stream.release()
            handler?.closed()
        }
    }

    // MARK: Ends of the connection

    /// Ends the connection with an error. A client that speaks another protocol gets no word.
    func fail(_ code: HTTP2ErrorCode) {
        guard !hasFailed else { return }
        hasFailed = true
        // The reader that knows it is dropped with the rest.
        let wasSpoken = isSpoken
        dropRest()
        closeStreams()
        guard wasSpoken else {
            context?.close(promise: nil)
            return
        }
        writeGoAway(code)
        closeOnceWritten()
    }

    /// Serves no further stream, and ends the connection with the last that is open.
    func goAway() {
        guard !hasFailed, lastServed == nil else { return }
        lastServed = lastStream
        if isSpoken { writeGoAway(.noError) }
        flush()
        if streams.isEmpty { closeOnceWritten() }
    }

    private func writeGoAway(_ code: HTTP2ErrorCode) {
        sendSettings()
        writeHead(.goAway, stream: 0, length: 8)
        output.writeInteger(UInt32(truncatingIfNeeded: lastServed ?? lastStream))
        output.writeInteger(code.rawValue)
    }

    /// Closes when the client has what was written, or does not take it within a second.
    private func closeOnceWritten() {
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        // After the frames that are being handled.
        eventLoop.execute {
            let connection = bound.value
            guard let context = connection.context else { return }
            connection.flush()
            context.writeAndFlush(connection.wrapOutboundOut(ByteBuffer())).whenComplete { _ in
                bound.value.context?.close(promise: nil)
            }
        }
        closing = eventLoop.scheduleTask(in: .seconds(1)) { bound.value.context?.close(promise: nil) }
    }

    // MARK: Idleness

    /// Looks, once in an idle time, whether the connection has been idle for as long: no call starts a timer.
    func startTimer(until moment: NIODeadline) {
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        timer = eventLoop.scheduleTask(deadline: moment) { bound.value.checkIdle() }
    }

    private func checkIdle() {
        guard let context, !hasFailed else { return }
        // A client that does not take its answers is as good as none.
        let isStuck = !isWritable || streams.values.contains(where: \.hasPending)
        guard streams.isEmpty || isStuck else { return startTimer(until: eventLoop.now + configuration.idleTime) }
        let moment = lastProgress + configuration.idleTime
        guard moment <= eventLoop.now else { return startTimer(until: moment) }
        if isStuck { context.close(promise: nil) } else { goAway() }
    }
}
