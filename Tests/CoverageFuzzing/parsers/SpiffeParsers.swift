import NIOCore
import NIOHPACK
import SpiffeIdentity
import Tokens

@testable import SpiffeWorkload

// Parsers of what pods ask the SPIFFE endpoint, and of what agents and the signer say to each other.

// MARK: HTTP/2

private let blockLimit = 256

/// A frame, or the breach that ended its connection, as far as it can be compared.
private struct Seen: Equatable {
    var name: String
    var bytes: ByteBuffer

    init(_ name: String, _ bytes: ByteBuffer = ByteBuffer()) {
        self.name = name
        self.bytes = bytes
    }

    init(_ frame: HTTP2Frame) {
        switch frame {
        case .data(let stream, let bytes, let size, let isLast):
            precondition(bytes.readableBytes <= size && size <= FrameReader.payloadLimit, "data beyond its frame")
            self.init("data \(stream) \(size) \(isLast)", bytes)
        case .headers(let stream, let block, let isLast):
            precondition(block.readableBytes <= blockLimit, "a header block beyond its limit")
            self.init("headers \(stream) \(isLast)", block)
        case .reset(let stream): self.init("reset \(stream)")
        case .settings(let window): self.init("settings \(window ?? -1)")
        case .ping(let data): self.init("ping \(data)")
        case .windowUpdate(let stream, let increment): self.init("window \(stream) \(increment)")
        case .other: self.init("other")
        }
    }
}

private func frames(_ chunks: [[UInt8]]) -> [Seen] {
    var reader = FrameReader(blockLimit: blockLimit)
    var frames: [Seen] = []
    for chunk in chunks {
        reader.append(ByteBuffer(bytes: chunk))
        do throws(HTTP2Breach) {
            while let frame = try reader.next() { frames.append(Seen(frame)) }
        } catch {
            return frames + [Seen("\(error)")]
        }
        reader.releaseRead()
    }
    return frames
}

/// The frames of a connection do not depend on how its bytes arrive. Few inputs would keep the whole preface: it is put before those
/// that do not begin as it does.
func http2Frames(_ bytes: [UInt8]) {
    let all = bytes.starts(with: FrameReader.preface.prefix(3)) ? bytes : FrameReader.preface + bytes
    precondition(frames([all]) == frames(halves(all)), "a cut changes the frames")
}

/// The header blocks of an input: each begins with its length, or is the number of an earlier one that comes again.
private func blocks(_ bytes: [UInt8]) -> [ByteBuffer] {
    var blocks: [ByteBuffer] = []
    var rest = bytes[...]
    while blocks.count < 64, let first = rest.popFirst() {
        if first < 0xc0 || blocks.isEmpty {
            blocks.append(ByteBuffer(bytes: rest.prefix(Int(first))))
            rest = rest.dropFirst(Int(first))
        } else {
            blocks.append(blocks[Int(first) % blocks.count])
        }
    }
    return blocks
}

private func text(_ headers: HPACKHeaders) -> String {
    headers.map { "\($0.name)=\($0.value)" }.joined(separator: ";")
}

/// The text of a block's fields, by way of a head that has it; `nil`: no request.
private func meaning(of block: ByteBuffer, _ reader: inout HeaderReader) -> Result<String?, HTTP2Breach> {
    do throws(HTTP2Breach) {
        let request = try reader.request(block) { .failure(.status(GRPCStatus(.unavailable, text($0)))) }
        guard case .failure(.status(let status))? = request?.call else { return .success(nil) }
        return .success(status.message)
    } catch {
        return .failure(error)
    }
}

/// A header block means what a decoder without a memory of blocks makes of it.
func headerBlocks(_ bytes: [UInt8]) {
    let limit = 16_384
    var reader = HeaderReader(listLimit: limit)
    var decoder = HPACKDecoder(
        allocator: ByteBufferAllocator(), maxDynamicTableSize: HPACKDecoder.maxDynamicTableSize,
        maxHeaderListSize: limit)
    for block in blocks(bytes) {
        var rest = block
        let read = meaning(of: block, &reader)
        guard let headers = try? decoder.decodeHeaders(from: &rest) else {
            // Such a breach ends the connection.
            if case .success = read { preconditionFailure("a block is read that is none") }
            return
        }
        let isRequest = (try? RequestFields(ofRequest: headers)) != nil
        precondition(read == .success(isRequest ? text(headers) : nil), "a block means what another did")
    }
}

// MARK: Messages

private func messages(_ chunks: [[UInt8]]) -> (found: [ByteBuffer], end: GRPCStatus?) {
    var messages = CallMessages(limit: 64)
    var found: [ByteBuffer] = []
    for chunk in chunks {
        messages.append(ByteBuffer(bytes: chunk))
        do throws(GRPCStatus) {
            while let message = try messages.next() { found.append(message) }
        } catch {
            return (found, error)
        }
    }
    return (found, nil)
}

/// The messages of a call do not depend on how its bytes arrive; a body is its one message.
func callMessages(_ bytes: [UInt8]) {
    let (whole, cut) = (messages([bytes]), messages(halves(bytes)))
    precondition(whole.found == cut.found && whole.end == cut.end, "a cut changes the messages")
    precondition(whole.found.allSatisfy { $0.readableBytes <= 64 }, "a message beyond its limit")
    var body = CallBody(limit: 64)
    guard let message = try? body.append(ByteBuffer(bytes: bytes)) else { return }
    precondition(whole.found == [message] && whole.end == nil, "a body that is not its message")
}

/// A message that is read reads the same when it is written again.
func protobuf(_ bytes: [UInt8]) {
    guard let request = try? WorkloadMessages.tokenRequest(ByteBuffer(bytes: bytes)) else { return }
    var writer = ProtobufWriter()
    for audience in request.audience where !audience.isEmpty { writer.write(1, string: audience) }
    writer.write(2, string: request.spiffeID)
    let expected = WorkloadMessages.TokenRequest(
        audience: request.audience.filter { !$0.isEmpty }, spiffeID: request.spiffeID)
    precondition((try? WorkloadMessages.tokenRequest(writer.buffer)) == expected, "a message changes")
}

/// Requests of Envoy, and for the proof of a JWT-SVID, read the same when they are written again.
func otherRequests(_ bytes: [UInt8]) {
    if let request = try? SecretMessages.request(ByteBuffer(bytes: bytes)) {
        precondition(request.names.count <= 16, "more names than there are secrets")
        var writer = ProtobufWriter()
        for name in request.names { writer.write(3, choice: name) }
        writer.write(4, choice: request.type)
        writer.write(5, choice: request.nonce)
        if request.isRejection { writer.write(6, choice: 1 as UInt64) }
        precondition((try? SecretMessages.request(writer.buffer)) == request, "a request for secrets changes")
    }
    if let request = try? WorkloadMessages.validationRequest(ByteBuffer(bytes: bytes)) {
        var writer = ProtobufWriter()
        writer.write(1, string: request.audience)
        writer.write(2, string: request.token)
        precondition((try? WorkloadMessages.validationRequest(writer.buffer)) == request, "a token changes")
    }
}

private let domain = TrustDomain("example.org")
/// The point that P-256 is made with.
private let key = TrustBundle.Key(
    id: "k", x: Base64URL.decode("axfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpY") ?? [],
    y: Base64URL.decode("T-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU") ?? [])

/// No token is signed with the bundle's key, so that none is valid. Claims read the same when they are written again.
func signedToken(_ bytes: [UInt8]) {
    guard let domain else { preconditionFailure("no trust domain") }
    let bundle = TrustBundle(trustDomain: domain, authorities: [], keys: [key])
    let text = String(decoding: bytes, as: UTF8.self)
    precondition((try? JWTSVID.verify(text, audience: "a", bundle: bundle, now: 0)) == nil, "valid, and never signed")
    guard let claims = JSONValue(parsing: bytes), case .object = claims else { return }
    precondition(JSONValue(parsing: claims.bytes) == claims, "claims change")
}

/// Requests to the signer, its answers and its bundles read the same when they are written again.
func exchange(_ bytes: [UInt8]) {
    if let request = ExchangeRequest(parsing: bytes) {
        precondition(ExchangeRequest(parsing: request.bytes)?.bytes == request.bytes, "a request changes")
    }
    if let answer = ExchangeResponse(parsing: bytes) {
        precondition(ExchangeResponse(parsing: answer.bytes)?.bytes == answer.bytes, "an answer changes")
        precondition(SpiffeID(answer.spiffeID)?.description ?? answer.spiffeID == answer.spiffeID, "an ID changes")
    }
    guard let domain, let bundle = try? TrustBundle(parsing: bytes, of: domain) else { return }
    let written = bundle.document(refreshHint: 300)
    precondition((try? TrustBundle(parsing: written, of: domain)) == bundle, "a bundle changes")
}
