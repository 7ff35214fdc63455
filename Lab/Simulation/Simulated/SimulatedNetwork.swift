import Attribution
import MetadataServer
import NIOCore
import NIOHTTP1
import Tokens
import UpstreamHTTP
import VirtualTime

/// The upstream that a call goes to.
enum Destination {
    case apiServer, securityTokenService, iamCredentials

    init(_ url: String) {
        self =
            url.hasPrefix("https://sts.")
            ? .securityTokenService
            : url.hasPrefix("https://iamcredentials.") ? .iamCredentials : .apiServer
    }
}

/// The way of one agent's calls to the simulated upstreams: delays, losses, deadlines.
struct SimulatedNetwork: UpstreamTransport {
    let world: World
    let agent: SimulatedAgent.ID
    let node: Int

    private var clock: SimulatedClock { SimulatedClock(timeline: world.timeline, node: world.nodes[node]) }

    func shutdown() async {}

    func answer(to call: UpstreamCall) async throws(TransportError) -> UpstreamResponse {
        let entry = world.enter(call, of: agent, node)
        do throws(TransportError) {
            let answer = try await travel(call, to: Destination(call.url), within: call.timeout ?? .milliseconds(2_500))
            world.leave(entry, answer)
            return answer
        } catch {
            world.leave(entry, nil, isCancelled: error.cause == .cancelled)
            throw error
        }
    }

    func answer<Reader: UpstreamBodyReader>(
        to call: UpstreamCall, reader: Reader
    ) async throws(TransportError) -> UpstreamReading<Reader> {
        let whole = try await answer(to: call)
        guard whole.isSuccess else { return UpstreamReading(answer: whole, reader: nil, end: .whole) }
        var reader = reader
        let wantsMore = reader.read(ByteBuffer(bytes: whole.body))
        let answer = UpstreamResponse(status: whole.status, headers: whole.headers)
        return UpstreamReading(answer: answer, reader: reader, end: wantsMore ? .whole : .refused)
    }

    func stream(
        _ call: UpstreamCall, opened: () -> Void, chunk receive: (ByteBuffer) -> Bool
    ) async throws(TransportError) -> UpstreamStreamEnd {
        let entry = world.enter(call, of: agent, node)
        let head: UpstreamResponse
        do throws(TransportError) {
            head = try await travel(call, to: .apiServer, within: .seconds(10))
            world.leave(entry, head)
        } catch {
            world.leave(entry, nil, isCancelled: error.cause == .cancelled)
            throw error
        }
        guard head.status == 200 else { return .answered(head) }
        let watch = world.openWatch(call, node: node)
        defer { world.close(watch) }
        opened()
        for await item in watch.items {
            switch item {
            case .bytes(let text): guard receive(ByteBuffer(string: text)) else { return .stopped }
            case .end: return .ended
            case .cut: throw TransportError(.connectionClosed)
            case .silence: throw TransportError(.silent)
            }
        }
        throw TransportError(.cancelled)
    }

    /// The way there, what the upstream does, and the way back.
    private func travel(
        _ call: UpstreamCall, to destination: Destination, within limit: Duration
    ) async throws(TransportError) -> UpstreamResponse {
        let deadline = world.now + limit
        if world.refuses(destination) {
            try await pass(.milliseconds(1), until: deadline)
            throw TransportError(.connectionRefused)
        }
        try await pass(world.delay(to: destination), until: deadline)
        let answer = world.answer(call, at: destination, node: node)
        try await pass(world.delay(to: destination), until: deadline)
        if world.has(.answersLost), world.random.chance(0.5) { throw TransportError(.connectionClosed) }
        return answer
    }

    private func pass(_ duration: Duration, until deadline: ContinuousClock.Instant) async throws(TransportError) {
        let isLate = world.now + duration > deadline
        do throws(CancellationError) {
            try await clock.sleep(until: min(world.now + duration, deadline))
        } catch {
            throw TransportError(.cancelled)
        }
        if isLate { throw TransportError(.timedOut) }
    }
}

extension World {
    func refuses(_ destination: Destination) -> Bool {
        switch destination {
        case .apiServer: has(.apiDown)
        case .securityTokenService: has(.stsDown)
        case .iamCredentials: has(.iamDown)
        }
    }

    /// Half of a call's time.
    func delay(to destination: Destination) -> Duration {
        let (fault, usual): (Fault, ClosedRange<Int>) =
            switch destination {
            case .apiServer: (.apiSlow, 1...10)
            case .securityTokenService: (.stsSlow, 10...60)
            case .iamCredentials: (.iamSlow, 10...80)
            }
        if has(fault) { return random.duration(.milliseconds(300), .seconds(20)) }
        return .milliseconds(usual.lowerBound + random.below(usual.count))
    }

    /// The answer of an upstream, its faults included.
    func answer(_ call: UpstreamCall, at destination: Destination, node: Int) -> UpstreamResponse {
        let faults: (errors: Fault, throttle: Fault, garbled: Fault) =
            switch destination {
            case .apiServer: (.apiErrors, .apiThrottle, .apiGarbled)
            case .securityTokenService: (.stsErrors, .stsThrottle, .stsGarbled)
            case .iamCredentials: (.iamErrors, .iamThrottle, .iamGarbled)
            }
        if has(faults.errors) {
            let text = "upstream connect error: \(Self.echo(of: call))"
            return answer(random.pick([500, 502, 503, 504]), text, of: destination)
        }
        if has(faults.throttle) {
            let pause = random.chance(0.7) ? 1 + random.below(20) : nil
            return answer(
                429, #"{"error":{"message":"quota exceeded"},"message":"too many requests"}"#, pause, of: destination)
        }
        if has(faults.garbled) {
            let texts = ["", "{", "<html>502</html>", #"{"access_token":7}"#, "\u{0}\u{1}", "[]", #"{"metadata":{}}"#]
            var garbled = answer(200, random.pick(texts), of: destination)
            garbled.headers.add(name: Self.garbledMark, value: "yes")
            return garbled
        }
        return switch destination {
        case .apiServer: answerOfAPIServer(call, node: node)
        case .securityTokenService: answerOfSTS(call)
        case .iamCredentials: answerOfIAM(call)
        }
    }

    func answer(_ status: Int, _ body: String, _ retryAfter: Int? = nil, of destination: Destination)
        -> UpstreamResponse
    {
        let seconds =
            switch destination {
            case .apiServer: apiTime
            case .securityTokenService: googleTime
            case .iamCredentials: iamTime
            }
        var headers: HTTPHeaders = ["content-type": "application/json", "date": date(seconds)]
        if let retryAfter { headers.add(name: "retry-after", value: "\(retryAfter)") }
        return UpstreamResponse(status: status, headers: headers, body: Array(body.utf8))
    }
}
