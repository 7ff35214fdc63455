import NIOHPACK

/// Begins the calls of one connection.
struct CallOpener {
    let store: IdentityStore
    let peer: WorkloadPeer
    let observer: any WorkloadObserver

    /// Says what is called.
    func head(_ headers: HPACKHeaders) -> CallRequest.Head {
        Result { () throws(CallRequest.Refusal) in
            try CallRequest.method(of: headers, transport: peer.transport, authorities: store.configuration.authorities)
        }
    }

    /// Gives the stream a handler, or its end.
    func open(_ head: CallRequest.Head, on stream: HTTP2Stream) {
        switch head {
        case .failure(.notGRPC(let status)):
            observer.ended(nil, with: .unimplemented)
            CallResponse(stream: stream).endPlainly(status)
        case .failure(.status(let status)): end(nil, status, stream)
        // A call without a message.
        case .success(let method) where stream.isRemoteClosed: end(method, .malformed, stream)
        case .success(.streamSecrets):
            stream.handler = SecretStreamHandler(stream, store: store, peer: peer, observer: observer)
        case .success(let method):
            stream.handler = CallHandler(method, stream, store: store, peer: peer, observer: observer)
        }
    }

    private func end(_ method: WorkloadMethod?, _ status: GRPCStatus, _ stream: HTTP2Stream) {
        observer.ended(method, status, peer)
        CallResponse(stream: stream).end(status)
    }
}
