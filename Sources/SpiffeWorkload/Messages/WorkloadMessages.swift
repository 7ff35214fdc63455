import NIOCore
import SpiffeIdentity

/// The messages of the Workload API (workloadapi.proto), those that pods send read and those that they get written.
enum WorkloadMessages {
    /// A message as it travels in a stream: flag, length, bytes.
    static func framed(_ writer: ProtobufWriter) -> ByteBuffer {
        let message = writer.buffer
        var frame = ByteBufferAllocator().buffer(capacity: message.readableBytes + 5)
        frame.writeInteger(UInt8(0))
        frame.writeInteger(UInt32(message.readableBytes))
        frame.writeImmutableBuffer(message)
        return frame
    }

    /// X509SVIDResponse: one SVID, the default of the workload, without a hint.
    static func certificate(_ svid: X509SVID, _ bundle: TrustBundle) -> ByteBuffer {
        var writer = ProtobufWriter(capacity: 4096)
        writer.write(1) { message in
            message.write(1, string: svid.id.description)
            message.write(2, bytes: svid.concatenatedChain)
            message.write(3, bytes: svid.key.exposedPKCS8)
            message.write(4, bytes: bundle.concatenatedAuthorities)
        }
        return framed(writer)
    }

    /// X509BundlesResponse.
    static func certificateBundles(_ bundle: TrustBundle) -> ByteBuffer {
        var writer = ProtobufWriter(capacity: 2048)
        writer.write(2, key: bundle.trustDomain.id, value: bundle.concatenatedAuthorities)
        return framed(writer)
    }

    /// JWTBundlesResponse.
    static func tokenBundles(_ bundle: TrustBundle) -> ByteBuffer {
        var writer = ProtobufWriter(capacity: 1024)
        writer.write(1, key: bundle.trustDomain.id, value: bundle.keySet())
        return framed(writer)
    }

    /// JWTSVIDResponse.
    static func token(_ token: String, of id: SpiffeID) -> ByteBuffer {
        var writer = ProtobufWriter(capacity: 1536)
        writer.write(1) { message in
            message.write(1, string: id.description)
            message.write(2, string: token)
        }
        return framed(writer)
    }

    /// ValidateJWTSVIDResponse. `aud` is a list, whatever the token has.
    static func validation(_ verified: JWTSVID.Verified) -> ByteBuffer {
        var claims = verified.claims
        if case .string(let audience)? = claims["aud"] { claims["aud"] = .array([.string(audience)]) }
        var writer = ProtobufWriter(capacity: 1024)
        writer.write(1, string: verified.id.description)
        writer.write(2) { write(claims, to: &$0) }
        return framed(writer)
    }

    /// google.protobuf.Struct.
    private static func write(_ members: [String: JSONValue], to writer: inout ProtobufWriter) {
        for (name, value) in members.sorted(by: { $0.key < $1.key }) {
            writer.write(1) { entry in
                entry.write(1, choice: name)
                entry.write(2) { write(value, to: &$0) }
            }
        }
    }

    /// google.protobuf.Value.
    private static func write(_ value: JSONValue, to writer: inout ProtobufWriter) {
        switch value {
        case .null: writer.write(1, choice: UInt64(0))
        case .number(let number): writer.write(2, choice: number)
        case .string(let text): writer.write(3, choice: text)
        case .bool(let flag): writer.write(4, choice: flag ? 1 : UInt64(0))
        case .object(let members): writer.write(5) { write(members, to: &$0) }
        case .array(let values):
            writer.write(6) { list in
                for value in values { list.write(1) { write(value, to: &$0) } }
            }
        }
    }

    // MARK: Requests

    /// A request without fields; unknown ones are ignored, as the wire format asks.
    static func checkEmpty(_ bytes: ByteBuffer) throws(ProtobufError) {
        var reader = ProtobufReader(bytes)
        while try reader.next() != nil {}
    }

    struct TokenRequest: Equatable {
        var audience: [String] = []
        var spiffeID = ""
    }

    /// JWTSVIDRequest.
    static func tokenRequest(_ bytes: ByteBuffer) throws(ProtobufError) -> TokenRequest {
        var reader = ProtobufReader(bytes)
        var request = TokenRequest()
        while let (field, value) = try reader.next() {
            switch field {
            case 1: request.audience.append(try text(value))
            case 2: request.spiffeID = try text(value)
            default: continue
            }
        }
        return request
    }

    struct ValidationRequest: Equatable {
        var audience = ""
        var token = ""
    }

    /// ValidateJWTSVIDRequest.
    static func validationRequest(_ bytes: ByteBuffer) throws(ProtobufError) -> ValidationRequest {
        var reader = ProtobufReader(bytes)
        var request = ValidationRequest()
        while let (field, value) = try reader.next() {
            switch field {
            case 1: request.audience = try text(value)
            case 2: request.token = try text(value)
            default: continue
            }
        }
        return request
    }

    private static func text(_ value: ProtobufReader.Value) throws(ProtobufError) -> String {
        guard let text = value.string else { throw ProtobufError() }
        return text
    }
}
