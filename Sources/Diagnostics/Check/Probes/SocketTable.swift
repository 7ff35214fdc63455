import Attribution
import BPF
import Glibc
import Linux

/// `/proc/net/tcp` and `tcp6`: where connections really go. What `getpeername()` says is what our own hooks say.
enum SocketTable {
    /// The most bytes that are read: more than the table of a node with a hundred thousand sockets has.
    private static let bytesMax = 32 << 20

    /// The far end of this process's socket, as `address:port`; IPv4 in its mapped form without the disguise.
    static func remote(ofSocket descriptor: CInt, isIPv6: Bool) -> String? {
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0 else { return nil }
        return remote(ofInode: UInt64(status.st_ino), in: read("/proc/self/net/tcp" + (isIPv6 ? "6" : "")))
    }

    /// The third field of the line whose tenth is `inode`.
    static func remote(ofInode inode: UInt64, in table: String) -> String? {
        for line in table.split(separator: "\n").dropFirst() {
            let fields = line.split(separator: " ")
            if fields.count > 9, UInt64(fields[9]) == inode { return endpoint(String(fields[2])) }
        }
        return nil
    }

    /// `FE00580A:2426`, or four such words for IPv6: words in the machine's byte order, the port in hexadecimal.
    private static func endpoint(_ text: String) -> String? {
        let parts = text.split(separator: ":")
        guard parts.count == 2, let port = UInt16(parts[1], radix: 16), parts[0].utf8.count.isMultiple(of: 8)
        else { return nil }
        var words: [UInt32] = []
        var digits = parts[0]
        while !digits.isEmpty {
            guard let word = UInt32(digits.prefix(8), radix: 16) else { return nil }
            words.append(word)
            digits = digits.dropFirst(8)
        }
        return IPAddress(bytes: words.flatMap { word in withBytes(of: word) }).map {
            ProtectedEndpoint(address: $0.unmapped, port: port).text
        }
    }

    private static func withBytes(of word: UInt32) -> [UInt8] {
        let bytes = stride(from: 24, through: 0, by: -8).map { UInt8(truncatingIfNeeded: word >> UInt32($0)) }
        #if _endian(little)
            return bytes.reversed()
        #else
            return bytes
        #endif
    }

    private static func read(_ path: String) -> String {
        String(decoding: FileContents.read(path, atMost: bytesMax) ?? [], as: UTF8.self)
    }
}
