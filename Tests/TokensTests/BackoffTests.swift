import Testing
import Tokens

@Suite struct BackoffTests {
    @Test("a pause doubles with each failure, up to the last one")
    func pauses() {
        let backoff = Backoff(shortest: .seconds(1), longest: .seconds(60))
        #expect((1...8).map(backoff.pause) == [1, 2, 4, 8, 16, 32, 60, 60].map { .seconds($0) })
        #expect(backoff.pause(after: .max) == .seconds(60))
    }

    @Test("before any failure the pause is the first one")
    func none() {
        #expect(Backoff(shortest: .seconds(1), longest: .seconds(60)).pause(after: 0) == .seconds(1))
    }
}
