import CLibbpf
import Glibc
import Synchronization

/// libbpf's own messages: kept, not printed, so that a failed load can say what the verifier said.
enum LibbpfLog {
    /// Enough for the last lines of a verifier log.
    private static let bytesMax = 4096
    private static let recent = Mutex<[UInt8]>([])

    /// Routes libbpf's warnings here. libbpf keeps one printer per process.
    static func capture() {
        unsafe libbpf_set_print { level, format, arguments in
            guard level == LIBBPF_WARN, let format = unsafe format, let arguments = unsafe arguments else {
                return 0
            }
            var line = [CChar](repeating: 0, count: 1024)
            let written = unsafe vsnprintf(&line, line.count, format, arguments)
            let text = line.prefix(Int(min(max(written, 0), CInt(line.count - 1)))).map { UInt8(bitPattern: $0) }
            LibbpfLog.recent.withLock { kept in
                kept.append(contentsOf: text)
                kept.removeFirst(max(0, kept.count - LibbpfLog.bytesMax))
            }
            return 0
        }
    }

    /// The messages since the last call.
    static func take() -> String {
        recent.withLock { kept in
            defer { kept = [] }
            return String(decoding: kept, as: UTF8.self)
        }
    }
}
