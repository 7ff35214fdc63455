import Attribution
import EventLoops
import NIOHTTP1
import Testing

@testable import MetadataProtocol
@testable import MetadataServer

/// A protocol that no cloud has: every path below its own name answers the name.
private struct EchoRoom: MetadataRoom {
    final class Request: RoomRequest {
        let routeClass = RouteClass.value
        let waitBudget: Duration? = nil

        func isEqual(to other: any RoomRequest) -> Bool { other is Request }
        func hash(into hasher: inout Hasher) {}
    }

    let name: String
    var prefix = ""

    func owns(_ path: String) -> Bool { path.hasPrefix(prefix) }
    func routeClass(of path: String) -> RouteClass { .value }
    func check(_ head: HTTPRequestHead, _ target: RequestTarget) throws(RequestRefusal) -> any RoomRequest {
        guard target.query == nil else { throw .room(RoomRefusal(.badRequest, .badQuery, "no queries at \(name)")) }
        return Request()
    }
    func answerToAnyone(_ request: any RoomRequest) -> Response? { nil }
    func decide(_ request: any RoomRequest, for pod: PodRecord, by backend: any MetadataBackend) -> RoomDecision {
        .answer(Response(.ok, .plain, .text(name)))
    }
    func decideWaiting(
        _ request: any RoomRequest, for pod: PodRecord, by backend: any MetadataBackend, on executor: EventLoopExecutor
    ) async -> RoomDecision {
        decide(request, for: pod, by: backend)
    }
    func form(_ response: Response) -> Response {
        var response = response
        response.dialect = Response.Dialect(server: name)
        return response
    }
}

/// The server's side of a room: it knows none but those that it is given.
@Suite(.timeLimit(.minutes(10))) struct RoomTests {
    private func answer(_ target: String, _ rooms: [any MetadataRoom], _ headers: HTTPHeaders = [:]) -> Response? {
        let responder = MetadataResponder(backend: FakeBackend(), rooms: rooms)
        let head = HTTPRequestHead(version: .http1_1, method: .GET, uri: target, headers: headers)
        do throws(RequestRefusal) {
            guard case .answer(let response) = responder.respond(to: try responder.validate(head), from: .test) else {
                return nil
            }
            return response
        } catch {
            return responder.response(to: error, of: head)
        }
    }

    @Test("the first room that owns a path serves it, and the last words what no path has")
    func order() throws {
        let rooms = [
            EchoRoom(name: "one", prefix: "/a/"), EchoRoom(name: "two", prefix: "/a/b"), EchoRoom(name: "rest"),
        ]
        #expect(answer("/a/b", rooms)?.body == .text("one"))
        #expect(answer("/a/./x/../b", Array(rooms.dropFirst()))?.body == .text("two"))
        #expect(answer("/c", rooms)?.body == .text("rest"))
        let unreadable = try #require(answer("/%", rooms))
        #expect(unreadable.status == .badRequest && unreadable.dialect.server == "rest")
    }

    @Test("a refusal has the form of the path's room, be it the server's or the room's own")
    func form() throws {
        let rooms = [EchoRoom(name: "one", prefix: "/a/"), EchoRoom(name: "rest")]
        let cases: [(String, HTTPHeaders, Response.Status)] = [
            ("/a/b?c", [:], .badRequest), ("/a/b", ["Via": ""], .forbidden),
        ]
        for (target, headers, status) in cases {
            let response = try #require(answer(target, rooms, headers))
            #expect(response.status == status && response.dialect.server == "one")
        }
    }

    @Test("without a room that owns it a path is not found")
    func none() {
        #expect(answer("/c", [EchoRoom(name: "one", prefix: "/a/")])?.status == .notFound)
        #expect(answer("/c", [])?.status == .notFound)
    }

    @Test("requests of two rooms are never the same")
    func distinct() {
        let (one, other) = (EchoRoom.Request(), EchoRoom.Request())
        #expect(MetadataRequest(one, room: 0) == MetadataRequest(other, room: 0))
        #expect(MetadataRequest(one, room: 0) != MetadataRequest(one, room: 1))
    }
}
