import Foundation

/// The programs that were built with the running one.
package enum Binaries {
    /// Their directory: that of the running executable.
    package static func directory() throws -> String {
        let executable = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        return (executable as NSString).deletingLastPathComponent
    }
}
