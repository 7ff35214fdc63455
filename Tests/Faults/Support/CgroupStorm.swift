import AgentTesting
import Foundation
import Lab

/// Makes and removes cgroups faster than anybody could note.
enum CgroupStorm {
    /// So many of each, in `directory`, on a thread of its own.
    static func run(below directory: String, pairs: Int) async throws {
        let path = directory + "/storm"
        let failure: Int32 = await withCheckedContinuation { continuation in
            Thread {
                for _ in 0..<pairs where unsafe mkdir(path, 0o755) != 0 || rmdir(path) != 0 {
                    return continuation.resume(returning: errno)
                }
                continuation.resume(returning: 0)
            }.start()
        }
        guard failure == 0 else { throw LabError("the storm ended early: error \(failure)") }
    }
}
