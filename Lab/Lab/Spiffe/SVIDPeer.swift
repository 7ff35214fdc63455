import Foundation
import NIOCore
import NIOPosix
import NIOSSL
import NIOTLS
import SwiftASN1
import X509

/// One workload's X.509-SVID as the endpoint hands it out: what a process needs for mutual TLS, in its memory alone.
package struct WorkloadSVID: Sendable {
    package let id: String
    private let chain: [NIOSSLCertificate]
    private let key: NIOSSLPrivateKey
    private let roots: [NIOSSLCertificate]

    /// Asks the endpoint at the metadata address for the SVID of the pod that runs this.
    package static func fetch() async throws -> WorkloadSVID {
        let answer = try await WorkloadProbe.call(
            WorkloadRequest(), .tcp(host: LabNode.metadataAddress, port: LabSigner.endpointPort))
        guard let message = answer.messages.first.flatMap({ Data(base64Encoded: $0) }) else {
            throw LabError(
                "no SVID: " + (answer.grpcMessage ?? answer.failure ?? "the endpoint answered without a message"))
        }
        return try WorkloadSVID(message: Array(message))
    }

    private init(message: [UInt8]) throws {
        guard let svid = Self.fields(message[...])[1] else { throw LabError("the answer has no SVID") }
        let fields = Self.fields(svid)
        guard let id = fields[1], let chain = fields[2], let key = fields[3], let roots = fields[4] else {
            throw LabError("the SVID is not complete")
        }
        self.id = String(decoding: id, as: UTF8.self)
        self.chain = try Self.certificates(chain)
        self.key = try NIOSSLPrivateKey(bytes: Array(key), format: .der)
        self.roots = try Self.certificates(roots)
    }

    /// The fields of a message that have a length, the first of each number.
    private static func fields(_ bytes: ArraySlice<UInt8>) -> [Int: ArraySlice<UInt8>] {
        var (rest, fields) = (bytes, [Int: ArraySlice<UInt8>]())
        func number() -> Int? {
            var (value, shift) = (0, 0)
            while let byte = rest.popFirst(), shift < 32 {
                value |= Int(byte & 0x7f) << shift
                if byte < 0x80 { return value }
                shift += 7
            }
            return nil
        }
        while let tag = number(), tag & 7 == 2, let length = number(), length <= rest.count {
            fields[tag >> 3] = fields[tag >> 3] ?? rest.prefix(length)
            rest = rest.dropFirst(length)
        }
        return fields
    }

    /// Certificates in DER, one after the other.
    private static func certificates(_ bytes: ArraySlice<UInt8>) throws -> [NIOSSLCertificate] {
        var (rest, certificates) = (bytes, [NIOSSLCertificate]())
        while !rest.isEmpty {
            guard rest.count >= 4, rest[rest.startIndex] == 0x30, rest[rest.startIndex + 1] == 0x82 else {
                throw LabError("the certificates are not DER")
            }
            let length = 4 + Int(rest[rest.startIndex + 2]) << 8 + Int(rest[rest.startIndex + 3])
            certificates.append(try NIOSSLCertificate(bytes: Array(rest.prefix(length)), format: .der))
            rest = rest.dropFirst(length)
        }
        return certificates
    }

    /// Both sides prove themselves, by authorities of the trust domain alone.
    func context(isServer: Bool) throws -> NIOSSLContext {
        let own: [NIOSSLCertificateSource] = chain.map { .certificate($0) }
        var tls = TLSConfiguration.makeClientConfiguration()
        if isServer { tls = .makeServerConfiguration(certificateChain: own, privateKey: .privateKey(key)) }
        (tls.certificateChain, tls.privateKey) = (own, .privateKey(key))
        tls.trustRoots = .certificates(roots)
        tls.certificateVerification = .noHostnameVerification
        return try NIOSSLContext(configuration: tls)
    }

    /// The SPIFFE ID in a certificate.
    static func id(in certificate: NIOSSLCertificate?) throws -> String? {
        guard let certificate else { return nil }
        let names = try Certificate(derEncoded: try certificate.toDERBytes()).extensions.subjectAlternativeNames
        for case .uniformResourceIdentifier(let uri) in names ?? SubjectAlternativeNames([]) { return uri }
        return nil
    }
}

/// Mutual TLS between two workloads, each of which demands one ID of the other: what a service of its own would do.
package enum SVIDPeer {
    /// Accepts connections at `address` and answers each peer whose ID is `peer`; says so of each, and of each that it refuses.
    package static func serve(
        _ svid: WorkloadSVID, address: String, port: Int, peer: String, say: @escaping @Sendable (String) -> Void
    ) async throws {
        let context = try svid.context(isServer: true)
        let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandlers([
                        NIOSSLServerHandler(context: context),
                        PeerHandler(peer, greeting: "hello from \(svid.id)\n", end: { say($0) }),
                    ])
                }
            }
            .bind(host: address, port: port).get()
        say("listening")
        try await channel.closeFuture.get()
    }

    /// Connects, and returns what the workload `peer` says.
    package static func dial(_ svid: WorkloadSVID, address: String, port: Int, peer: String) async throws -> String {
        let context = try svid.context(isServer: false)
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let promise = loop.makePromise(of: String.self)
        let channel = try await ClientBootstrap(group: loop)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandlers([
                        try NIOSSLClientHandler(context: context, serverHostname: nil),
                        PeerHandler(peer, greeting: nil, end: { promise.succeed($0) }),
                    ])
                }
            }
            .connect(host: address, port: port).get()
        let timer = loop.scheduleTask(in: .seconds(10)) { promise.succeed("no answer within 10 s") }
        let answer = try await promise.futureResult.get()
        timer.cancel()
        try? await channel.close().get()
        return answer
    }
}

/// One side of a connection: looks at the peer's ID before a byte is said or believed.
private final class PeerHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let peer: String
    private let greeting: String?
    private let end: @Sendable (String) -> Void
    private var isKnown = false
    private var hasEnded = false

    init(_ peer: String, greeting: String?, end: @escaping @Sendable (String) -> Void) {
        self.peer = peer
        self.greeting = greeting
        self.end = end
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard let event = event as? TLSUserEvent, case .handshakeCompleted = event else { return }
        let handler = try? context.pipeline.syncOperations.handler(type: NIOSSLServerHandler.self)
        let certificate =
            handler?.peerCertificate
            ?? (try? context.pipeline.syncOperations.handler(type: NIOSSLClientHandler.self))?.peerCertificate
        let id = (try? WorkloadSVID.id(in: certificate)) ?? "nobody"
        isKnown = id == peer
        guard isKnown else {
            finish("refused \(id)")
            return context.close(promise: nil)
        }
        guard let greeting else { return }
        finish("answered \(id)")
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: greeting))).whenComplete { _ in
            bound.value.close(promise: nil)
        }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard isKnown, greeting == nil else { return }
        finish(String(buffer: unwrapInboundIn(data)).trimmingCharacters(in: .newlines))
    }

    func channelInactive(context: ChannelHandlerContext) {
        finish("closed without an answer")
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        finish("closed: \(error)")
        context.close(promise: nil)
    }

    private func finish(_ text: String) {
        guard !hasEnded else { return }
        hasEnded = true
        end(text)
    }
}

@available(*, unavailable)
extension PeerHandler: Sendable {}
