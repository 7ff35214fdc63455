import Testing
import Tokens

@Suite struct BackoffTests {
    @Test("a pause doubles with each failure, up to the last one")
    func pauses() {
        let backoff = Backoff(shortest: .seconds(1), longest: .seconds(60))
        #expect((1...8).map(backoff.pause) == [1, 2, 4, 8, 16, 32, 60, 60].map { .seconds($0) })
        #expect(backoff.pause(after: .max) == .seconds(60))
    }

    @Test("a pause is spread by a quarter to either side")
    func spread() {
        let pauses = [0, 0.5, 1].map { Backoff.spread(.seconds(8), jitter: $0) }
        #expect(pauses == [.seconds(6), .seconds(8), .seconds(10)])
    }

    @Test("before any failure the pause is the first one")
    func none() {
        #expect(Backoff(shortest: .seconds(1), longest: .seconds(60)).pause(after: 0) == .seconds(1))
    }
}
