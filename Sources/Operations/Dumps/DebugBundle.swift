import Tokens

/// The files of a bug report, each without what looks like a credential.
package struct DebugBundle: Sendable {
    private static let folder = "podidentd-debug/"
    private var archive: TarArchive
    private var problems: [String] = []

    /// All files carry `modified`, in seconds since 1970.
    package init(modified: Int64) {
        archive = TarArchive(modified: modified)
    }

    package mutating func add(_ name: String, _ text: String) {
        archive.append(Self.folder + name, Array(SecretRedactor.redact(text).utf8))
    }

    /// Something that could not be had, and why.
    package mutating func note(_ name: String, _ problem: String) {
        problems.append("\(name): \(problem)")
    }

    /// The tar file.
    package consuming func finished() -> [UInt8] {
        if !problems.isEmpty { add("missing.txt", problems.joined(separator: "\n") + "\n") }
        return archive.bytes
    }
}
