import CLabShims
import Foundation

/// A pinned attachment, seen by a process with root's rights and bad intentions.
package enum PinnedLink {
    /// Detaches the program, although the agent holds the link, and removes the pin.
    package static func detach(at path: String) throws {
        guard unsafe lab_detach_link(path) == 0 else { throw LabError("cannot detach \(path): error \(errno)") }
        try FileManager.default.removeItem(atPath: path)
    }
}
