package import NIOCore

/// Carries calls to an upstream and their answers back: ``UpstreamHTTPClient`` over sockets, or a simulated network.
package protocol UpstreamTransport: Sendable {
    /// Sends `call` and reads all of its answer, whatever the status.
    func answer(to call: UpstreamCall) async throws(TransportError) -> UpstreamResponse

    /// Sends `call` and has the body of a success read by a reader, chunk by chunk. Any other answer is read whole.
    func answer<Reader: UpstreamBodyReader>(
        to call: UpstreamCall, reader: Reader
    ) async throws(TransportError) -> UpstreamReading<Reader>

    /// Sends `call` and hands its answer out chunk by chunk, if it is a 200. Any other answer is read whole.
    func stream(
        _ call: UpstreamCall, opened: () -> Void, chunk receive: (ByteBuffer) -> Bool
    ) async throws(TransportError) -> UpstreamStreamEnd

    /// Ends the calls in flight. Called once, after the last call.
    func shutdown() async
}

extension UpstreamHTTPClient: UpstreamTransport {}
