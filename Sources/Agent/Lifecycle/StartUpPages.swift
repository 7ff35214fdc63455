import FoundationEssentials
import Glibc
import Hardening

/// The pages of the program's file and its libraries that are in memory, most of which only the start needed: looking
/// up conformances, parsing configuration and certificates, making tables.
enum StartUpPages {
    /// A part of the address space that shows a file, unchanged.
    struct Mapping: Equatable {
        var start: UInt
        var length: Int
    }

    /// Takes them out of the resident set. The kernel keeps them in its page cache as long as no other process needs
    /// the room; what is used again is mapped again, without reading it. What is free in the heap goes as well.
    ///
    /// - Returns: How many bytes of mappings were let go, resident or not.
    @discardableResult
    static func release() -> Int {
        defer { ProcessHeap.releaseFree() }
        guard let bytes = FileManager.default.contents(atPath: "/proc/self/smaps") else { return 0 }
        var released = 0
        for mapping in unchanged(in: String(decoding: bytes, as: UTF8.self)) {
            guard let start = unsafe UnsafeMutableRawPointer(bitPattern: mapping.start) else { continue }
            if unsafe madvise(start, mapping.length, MADV_DONTNEED) == 0 { released += mapping.length }
        }
        return released
    }

    /// The private, read-only mappings of files in `smaps` (proc_pid_smaps(5)) none of whose pages has a copy of its
    /// own. What the dynamic linker has relocated has: to drop that would undo it.
    static func unchanged(in smaps: String) -> [Mapping] {
        var mappings: [Mapping] = []
        var candidate: Mapping?
        for line in smaps.split(separator: "\n") {
            let words = line.split(separator: " ", omittingEmptySubsequences: true)
            guard let first = words.first else { continue }
            if words.count >= 2, first == "Anonymous:" {
                if let mapping = candidate, words[1] == "0" { mappings.append(mapping) }
                candidate = nil
            } else if !first.hasSuffix(":") {
                candidate = mapping(words)
            }
        }
        return mappings
    }

    /// The head of a mapping's entry: `start-end permissions offset device inode path`.
    private static func mapping(_ words: [Substring]) -> Mapping? {
        guard words.count >= 6, words[1] == "r--p" || words[1] == "r-xp", words[4] != "0", words[5].hasPrefix("/")
        else {
            return nil
        }
        let ends = words[0].split(separator: "-").compactMap { UInt($0, radix: 16) }
        guard ends.count == 2, ends[0] < ends[1] else { return nil }
        return Mapping(start: ends[0], length: Int(ends[1] - ends[0]))
    }
}
