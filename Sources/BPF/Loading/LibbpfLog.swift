import CBPFPrograms
import Synchronization

/// libbpf's own messages: kept, not printed, so that a failed load can say what the verifier said.
enum LibbpfLog {
    /// The most bytes that are kept: enough for the last lines of a verifier log.
    private static let bytesMax = 4096
    private static let recent = Mutex<[UInt8]>([])

    /// Routes libbpf's warnings here. libbpf keeps one printer per process.
    static func capture() {
        unsafe nid_take_warnings { text in
            guard let text = unsafe text else { return }
            let bytes = Array(unsafe String(cString: text).utf8)
            LibbpfLog.recent.withLock { kept in
                kept.append(contentsOf: bytes)
                kept.removeFirst(max(0, kept.count - LibbpfLog.bytesMax))
            }
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
