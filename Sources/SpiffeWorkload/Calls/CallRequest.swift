import Attribution
import NIOCore
import NIOHPACK

/// The head of a call, checked: what it may ask for before a byte of its message is read.
enum CallRequest {
    /// Why a head is none of a call that is served.
    enum Refusal: Error, Equatable {
        /// The status that the call ends with.
        case status(GRPCStatus)
        /// The head is not gRPC's: the answer is a plain HTTP status.
        case notGRPC(Int)
    }

    /// The method that a head calls, or why it calls none.
    typealias Head = Result<WorkloadMethod, Refusal>

    /// Reads what the headers call.
    static func method(
        of headers: HPACKHeaders, transport: WorkloadPeer.Transport, authorities: [OriginalDestination]
    ) throws(Refusal) -> WorkloadMethod {
        guard headers.first(name: ":method") == "POST" else { throw .notGRPC(405) }
        guard let type = headers.first(name: "content-type"), isGRPC(type) else { throw .notGRPC(415) }
        guard let method = headers.first(name: ":path").flatMap(WorkloadMethod.init(path:)) else {
            throw .status(GRPCStatus(.unimplemented, "no such method"))
        }
        if transport == .tcp {
            // A browser that came here by a name sends that name.
            guard let authority = headers.first(name: ":authority"), names(authority, one: authorities) else {
                throw .status(GRPCStatus(.invalidArgument, "the authority is not an address of this endpoint"))
            }
        }
        guard !method.needsSecurityHeader || headers["workload.spiffe.io"] == ["true"] else {
            throw .status(.noSecurityHeader)
        }
        guard (headers.first(name: "grpc-encoding") ?? "identity") == "identity" else { throw .status(.compressed) }
        return method
    }

    private static func isGRPC(_ type: String) -> Bool {
        type == "application/grpc" || type.hasPrefix("application/grpc+") || type.hasPrefix("application/grpc;")
    }

    /// Whether `authority` is an address with its port; a name is none.
    private static func names(_ authority: String, one destinations: [OriginalDestination]) -> Bool {
        guard let colon = authority.lastIndex(of: ":"), let port = UInt16(authority[authority.index(after: colon)...]),
            let address = IPAddress(host: authority[..<colon])
        else { return false }
        return destinations.contains(OriginalDestination(address: address.unmapped, port: port))
    }
}

extension ByteBuffer {
    /// The length of gRPC's frame of a message, header included; `nil` until the header is complete.
    fileprivate func frameLength(limit: Int) throws(GRPCStatus) -> Int? {
        guard let flag = getInteger(at: readerIndex, as: UInt8.self) else { return nil }
        guard flag != 1 else { throw .compressed }
        guard flag == 0 else { throw .malformed }
        guard let length = getInteger(at: readerIndex + 1, as: UInt32.self) else { return nil }
        guard length <= limit else { throw .tooLong(limit) }
        return Int(length) + 5
    }
}

/// The messages of a call whose request is a stream, cut out of its bytes.
struct CallMessages {
    private(set) var buffer = ByteBuffer()
    private let limit: Int

    init(limit: Int) {
        self.limit = limit
    }

    /// Whether nothing of a further message has arrived.
    var isEmpty: Bool { buffer.readableBytes == 0 }

    /// The bytes that have arrived of it.
    var size: Int { buffer.readableBytes }

    mutating func append(_ bytes: ByteBuffer) {
        buffer.writeImmutableBuffer(bytes)
    }

    /// Takes out the next message; `nil` until it is complete.
    ///
    /// - Throws: The status that the call ends with.
    mutating func next() throws(GRPCStatus) -> ByteBuffer? {
        guard let length = try buffer.frameLength(limit: limit), buffer.readableBytes >= length else { return nil }
        buffer.moveReaderIndex(forwardBy: 5)
        return buffer.readSlice(length: length - 5)
    }

    /// Lets go of the messages that were taken out. Called when nothing holds them any more: a copy of all would be made else.
    mutating func releaseRead() { buffer.releaseRead() }
}

/// The bytes of one call's body, until they are its one message.
struct CallBody {
    private var buffer = ByteBuffer()
    private let limit: Int

    init(limit: Int) {
        self.limit = limit
    }

    /// The bytes that have arrived.
    var size: Int { buffer.readableBytes }

    /// Takes the next bytes.
    ///
    /// - Returns: The message, once it is complete.
    /// - Throws: The status that the call ends with.
    mutating func append(_ bytes: ByteBuffer) throws(GRPCStatus) -> ByteBuffer? {
        guard buffer.readableBytes + bytes.readableBytes <= limit + 5 else { throw .tooLong(limit) }
        if buffer.readableBytes == 0, let length = try bytes.frameLength(limit: limit), bytes.readableBytes == length {
            // The whole message: no copy of it.
            return bytes.getSlice(at: bytes.readerIndex + 5, length: length - 5)
        }
        buffer.writeImmutableBuffer(bytes)
        guard let length = try buffer.frameLength(limit: limit), buffer.readableBytes >= length else { return nil }
        // All five methods take one message.
        guard buffer.readableBytes == length else { throw .malformed }
        buffer.moveReaderIndex(forwardBy: 5)
        return buffer
    }
}
