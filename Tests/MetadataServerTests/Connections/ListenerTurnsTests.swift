import Testing

@testable import MetadataServer

@Suite struct ListenerTurnsTests {
    @Test func `each round begins behind the socket that was served last`() {
        var turns = ListenerTurns()
        #expect(turns.order([7, 3, 5]) == [3, 5, 7])
        turns.served(3)
        #expect(turns.order([7, 3, 5]) == [5, 7, 3])
        turns.served(7)
        #expect(turns.order([7, 3, 5, 1]) == [1, 3, 5, 7])
    }

    @Test func `with room for one a round every socket is served, however the kernel orders them`() {
        var turns = ListenerTurns()
        var served: [UInt64: Int] = [:]
        for _ in 0..<300 {
            guard let first = turns.order([2, 9, 4]).first else { return }
            turns.served(first)
            served[first, default: 0] += 1
        }
        #expect(served == [2: 100, 4: 100, 9: 100])
    }
}
