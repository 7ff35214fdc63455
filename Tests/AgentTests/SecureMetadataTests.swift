import Lab
import NIOCore
import NIOEmbedded
import NIOSSL
import Testing

@testable import SpiffeEndpoint

/// The metadata server's side of TLS, by a clock of the test's own.
@Suite struct SecureMetadataTests {
    /// Passes on what both sides say until neither says more.
    private static func exchange(_ one: EmbeddedChannel, _ other: EmbeddedChannel) throws {
        while true {
            let said = (
                try one.readOutbound(as: ByteBuffer.self), try other.readOutbound(as: ByteBuffer.self)
            )
            if let bytes = said.0 { try other.writeInbound(bytes) }
            if let bytes = said.1 { try one.writeInbound(bytes) }
            if said.0 == nil, said.1 == nil { return }
        }
    }

    @Test func `a client that does not answer the end of TLS is waited for a second`() throws {
        let authority = try LabPKI(name: "a trust domain")
        let credential = try authority.server(hosts: ["metadata.google.internal"])
        let root = try NIOSSLCertificate(bytes: Array(authority.authorityPEM.utf8), format: .pem)
        let configuration = SecureMetadata.configuration(
            [try NIOSSLCertificate(bytes: Array(credential.certificatePEM.utf8), format: .pem)],
            try NIOSSLPrivateKey(bytes: Array(credential.privateKeyPEM.utf8), format: .pem), roots: [root])
        var trusting = TLSConfiguration.makeClientConfiguration()
        trusting.trustRoots = .certificates([root])
        trusting.certificateVerification = .noHostnameVerification
        let loop = EmbeddedEventLoop()
        let (server, client) = (EmbeddedChannel(loop: loop), EmbeddedChannel(loop: loop))
        let serving = try NIOSSLContext(configuration: configuration)
        try server.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: serving))
        let asking = try NIOSSLContext(configuration: trusting)
        try client.pipeline.syncOperations.addHandler(NIOSSLClientHandler(context: asking, serverHostname: nil))
        let address = try SocketAddress(ipAddress: "169.254.169.254", port: 443)
        for channel in [server, client] { channel.connect(to: address, promise: nil) }
        try Self.exchange(server, client)
        client.pipeline.syncOperations.writeAndFlush(NIOAny(ByteBuffer(string: "a request")), promise: nil)
        try Self.exchange(server, client)
        let request = try server.readInbound(as: ByteBuffer.self)
        #expect(request == ByteBuffer(string: "a request"))
        server.close(promise: nil)
        #expect(server.isActive)
        loop.advanceTime(by: .seconds(1))
        #expect(!server.isActive)
    }
}
