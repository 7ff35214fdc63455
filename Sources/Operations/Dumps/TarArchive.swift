/// A tar archive in the making: POSIX ustar, files only.
///
/// Written here because the image of the agent has neither a shell nor tar.
package struct TarArchive: Sendable {
    private static let block = 512
    /// Everything written so far, without the end.
    private var content: [UInt8] = []
    private let modified: Int64

    /// All entries carry `modified`, in seconds since 1970.
    package init(modified: Int64) {
        self.modified = max(0, modified)
    }

    /// Adds a file of mode 0600. `name` is a relative path of at most 100 bytes; a longer one is cut.
    package mutating func append(_ name: String, _ bytes: [UInt8]) {
        var header = [UInt8](repeating: 0, count: Self.block)
        func put(_ text: String, at offset: Int, limit: Int) {
            for (index, byte) in text.utf8.prefix(limit).enumerated() { header[offset + index] = byte }
        }
        put(name, at: 0, limit: 100)
        put("0000600", at: 100, limit: 7)
        put("0000000", at: 108, limit: 7)
        put("0000000", at: 116, limit: 7)
        put(Self.octal(Int64(bytes.count), digits: 11), at: 124, limit: 11)
        put(Self.octal(modified, digits: 11), at: 136, limit: 11)
        // The checksum counts its own field as blanks.
        put("        ", at: 148, limit: 8)
        put("0", at: 156, limit: 1)
        put("ustar", at: 257, limit: 5)
        put("00", at: 263, limit: 2)
        put("root", at: 265, limit: 31)
        put("root", at: 297, limit: 31)
        let sum = header.reduce(0 as Int64) { $0 + Int64($1) }
        put(Self.octal(sum, digits: 6) + "\0 ", at: 148, limit: 8)
        content += header + bytes
        content += [UInt8](repeating: 0, count: (Self.block - bytes.count % Self.block) % Self.block)
    }

    /// The whole archive, which ends with two empty blocks.
    package var bytes: [UInt8] { content + [UInt8](repeating: 0, count: 2 * Self.block) }

    private static func octal(_ value: Int64, digits: Int) -> String {
        let text = String(value, radix: 8)
        return String(repeating: "0", count: max(0, digits - text.count)) + text
    }
}
