import NIOHPACK

/// A call as its headers announce it.
enum CallHead: Sendable, Equatable {
    case call(WorkloadMethod)
    /// A call that ends with this status before a byte of its message is read.
    case refused(GRPCStatus)
    /// A request that is none of gRPC: the answer is this HTTP status.
    case notGRPC(Int)
}

/// Begins the calls of one connection.
struct CallOpener {
    let store: IdentityStore
    let peer: WorkloadPeer
    let observer: any WorkloadObserver

    /// Says what is called.
    func head(_ headers: HPACKHeaders) -> CallHead {
        do throws(CallRequest.Refusal) {
            return .call(
                try CallRequest.method(
                    of: headers, transport: peer.transport, authorities: store.configuration.authorities))
        } catch {
            return switch error {
            case .status(let status): .refused(status)
            case .notGRPC(let status): .notGRPC(status)
            }
        }
    }

    /// Gives the stream a handler, or its end.
    func open(_ head: CallHead, on stream: HTTP2Stream) {
        switch head {
        case .notGRPC(let status):
            observer.ended(nil, with: .unimplemented)
            CallResponse(stream: stream).endPlainly(status)
        case .refused(let status): end(nil, status, stream)
        // A call without a message.
        case .call(let method) where stream.isRemoteClosed: end(method, .malformed, stream)
        case .call(.streamSecrets):
            stream.handler = SecretStreamHandler(stream, store: store, peer: peer, observer: observer)
        case .call(let method):
            stream.handler = CallHandler(method, stream, store: store, peer: peer, observer: observer)
        }
    }

    private func end(_ method: WorkloadMethod?, _ status: GRPCStatus, _ stream: HTTP2Stream) {
        observer.ended(method, status, peer)
        CallResponse(stream: stream).end(status)
    }
}
