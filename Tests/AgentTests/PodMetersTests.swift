import Attribution
import Operations
import Telemetry
import Testing

@Suite struct PodMetersTests {
    private func uid(_ number: Int) throws -> PodUID {
        let digits = String(number, radix: 16)
        return try #require(PodUID(String(repeating: "0", count: 32 - digits.count) + digits))
    }

    @Test("each pod has its own counts, and callers without an identity share one")
    func counts() throws {
        let meters = PodMeters()
        let (a, b) = (try uid(1), try uid(2))
        meters.count(pod: a, isRefusal: false, nanoseconds: 1500)
        meters.count(pod: a, isRefusal: true, nanoseconds: nil)
        meters.count(pod: b, isRefusal: false, nanoseconds: 1)
        meters.count(pod: nil, isRefusal: true, nanoseconds: 1)
        let snapshot = meters.snapshot { _ in true }
        #expect(snapshot.count == 3)
        #expect(snapshot[a]?.requests == 2 && snapshot[a]?.refusals == 1 && snapshot[a]?.latency.total == 1)
        #expect(snapshot[b]?.requests == 1 && snapshot[b]?.refusals == 0)
        #expect(snapshot[PodUID?.none]?.refusals == 1)
    }

    @Test("a pod that goes loses its counts, also if it asked once more after that")
    func terminated() throws {
        let meters = PodMeters()
        let (a, b) = (try uid(1), try uid(2))
        for pod in [a, b] { meters.count(pod: pod, isRefusal: false, nanoseconds: 1) }
        meters.forget(a)
        #expect(Array(meters.snapshot { _ in true }.keys) == [b])
        meters.count(pod: a, isRefusal: true, nanoseconds: 1)
        #expect(Array(meters.snapshot { $0 == b }.keys) == [b])
        #expect(Array(meters.snapshot { _ in true }.keys) == [b], "what does not exist is dropped, not hidden")
    }

    @Test("pods beyond the limit are counted together")
    func limit() throws {
        let meters = PodMeters()
        for number in 0..<(PodMeters.limit + 10) {
            meters.count(pod: try uid(number), isRefusal: false, nanoseconds: 1)
        }
        let first = try uid(0)
        meters.count(pod: first, isRefusal: false, nanoseconds: 1)
        let snapshot = meters.snapshot { _ in true }
        #expect(snapshot.count == PodMeters.limit + 1)
        #expect(snapshot[PodUID?.none]?.requests == 10 && snapshot[first]?.requests == 2)
    }
}
