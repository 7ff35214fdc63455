import NIOCore
import NIOPosix

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// A DNS server over UDP in a network namespace of the lab. It knows the names it is given, and that nothing else exists.
package final class LabNameServer: Sendable {
    /// The names that were asked for, each with every query.
    package let questions = EventLog<String>()
    private let channel: any Channel

    /// Starts serving on `port` of `host` inside `network`.
    ///
    /// `names` holds IPv4 addresses by name, in lower case, without the final dot. `delay` lies between a query and its
    /// answer: where names do not resolve, some clients let that answer race against the metadata server's.
    package init(
        network: NetworkNamespace, host: String, port: Int = 53, names: [String: String], delay: Duration
    ) async throws {
        var addresses: [String: [UInt8]] = [:]
        for (name, address) in names {
            let bytes = address.split(separator: ".").compactMap { UInt8($0) }
            guard bytes.count == 4 else { throw LabError("'\(address)' is not an IPv4 address") }
            addresses[name] = bytes
        }
        let answers = addresses
        let questions = questions
        let descriptor = try network.run { try Self.openSocket(on: SocketAddress(ipAddress: host, port: port)) }
        channel = try await DatagramBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(
                        Handler(names: answers, delay: TimeAmount(delay), questions: questions)
                    )
                }
            }
            .withBoundSocket(descriptor)
            .get()
    }

    /// Stops serving; the port is free when this returns.
    package func stop() async {
        try? await channel.close().get()
    }

    /// A bound datagram socket.
    private static func openSocket(on address: SocketAddress) throws -> CInt {
        let descriptor = socket(AF_INET, CInt(SOCK_DGRAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw IOError(errnoCode: errno, reason: "socket") }
        let bound = unsafe address.withSockAddr { pointer, length in
            unsafe bind(descriptor, pointer, socklen_t(length))
        }
        guard bound == 0 else {
            defer { close(descriptor) }
            throw IOError(errnoCode: errno, reason: "bind \(address)")
        }
        return descriptor
    }

    private final class Handler: ChannelInboundHandler {
        typealias InboundIn = AddressedEnvelope<ByteBuffer>

        private let names: [String: [UInt8]]
        private let delay: TimeAmount
        private let questions: EventLog<String>

        init(names: [String: [UInt8]], delay: TimeAmount, questions: EventLog<String>) {
            self.names = names
            self.delay = delay
            self.questions = questions
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let query = unwrapInboundIn(data)
            guard let question = DNSQuery(Array(query.data.readableBytesView)) else { return }
            questions.record(question.name)
            let answer = AddressedEnvelope(
                remoteAddress: query.remoteAddress, data: ByteBuffer(bytes: question.answer(names: names))
            )
            let channel = context.channel
            context.eventLoop.scheduleTask(in: delay) {
                channel.writeAndFlush(answer, promise: nil)
            }
        }
    }
}
