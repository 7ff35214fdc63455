import Attribution
import Testing

@testable import SpiffeWorkload

/// Places of connections that cost memory before they say anything.
@Suite struct PodConnectionLimitTests {
    @Test("a pod has so many places and takes none of another's; the end of a connection gives its place back")
    func places() throws {
        let limit = PodConnectionLimit(3)
        let first = try #require(PodUID("00000000-0000-0000-0000-000000000001"))
        let second = try #require(PodUID("00000000-0000-0000-0000-000000000002"))
        var places = (0..<3).compactMap { _ in limit.enter(first) }
        #expect(places.count == 3 && limit.enter(first) == nil)
        let other = limit.enter(second)
        #expect(other != nil && limit.enter(nil) != nil)
        places.removeLast()
        #expect(limit.enter(first) != nil)
        #expect(limit.podCount == 2, "who has no connection is not remembered")
        places = []
        #expect(limit.podCount == 1)
        withExtendedLifetime(other) {}
    }
}
