import Attribution
import Synchronization
import Testing

@testable import Enforcement

@Suite struct EmptyPodsTests {
    /// The moments that have not passed yet, and the pods whose end was told.
    private final class Log: Sendable {
        private let moments = Mutex<[@Sendable () -> Void]>([])
        private let ended = Mutex<[String]>([])

        func begin(_ moment: @escaping @Sendable () -> Void) { moments.withLock { $0.append(moment) } }
        func end(_ name: String) { ended.withLock { $0.append(name) } }

        /// Has every moment pass, and says what has ended since this was last called.
        func pass(reversed: Bool = false) -> [String] {
            let passing = moments.withLock { moments in
                defer { moments = [] }
                return moments
            }
            for moment in reversed ? passing.reversed() : passing { moment() }
            return ended.withLock { ended in
                defer { ended = [] }
                return ended
            }
        }
    }

    private static let pods = (CgroupID(rawValue: 1), CgroupID(rawValue: 2))

    @Test(arguments: [false, true])
    func `a pod that is emptied twice within a moment ends once, by the second time`(reversed: Bool) {
        let log = Log()
        let pods = EmptyPods { log.begin($0) }
        pods.afterMoment(of: Self.pods.0) { log.end("a process lived between") }
        pods.afterMoment(of: Self.pods.1) { log.end("another pod") }
        pods.afterMoment(of: Self.pods.0) { log.end("nothing lives") }
        #expect(Set(log.pass(reversed: reversed)) == ["another pod", "nothing lives"])
        #expect(log.pass() == [])
    }

    @Test func `a pod that has ended may be emptied again later`() {
        let log = Log()
        let pods = EmptyPods { log.begin($0) }
        for turn in ["first", "second"] {
            pods.afterMoment(of: Self.pods.0) { log.end(turn) }
            #expect(log.pass() == [turn])
        }
    }
}
