import Foundation
import Testing

@testable import Lab

/// The labs that `podidentd-lab clean` takes for running ones.
@Suite(.timeLimit(.minutes(5))) struct LabSweepTests {
    @Test("a process that has ended is no owner, though its parent has not noticed")
    func zombie() throws {
        var process = pid_t()
        var arguments: [UnsafeMutablePointer<CChar>?] = unsafe [strdup("true"), nil]
        defer { unsafe free(arguments[0]) }
        let spawned = unsafe posix_spawn(&process, "/bin/true", nil, nil, &arguments, nil)
        try #require(spawned == 0)
        // WNOWAIT leaves the process as it is: ended, and still in the table.
        try #require(waitid(P_PID, id_t(process), nil, WEXITED | WNOWAIT) == 0)
        #expect(kill(process, 0) == 0)
        #expect(!LabSweep.isAlive(process))
        waitpid(process, nil, 0)
        #expect(!LabSweep.isAlive(process))
        #expect(LabSweep.isAlive(getpid()))
    }
}
