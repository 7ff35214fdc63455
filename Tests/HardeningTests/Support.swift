import Foundation
import Glibc

/// A requirement of a test inside its own process: a failure ends that with the line's number as its status.
func require(_ condition: Bool, _ what: String, line: Int = #line) {
    guard !condition else { return }
    FileHandle.standardError.write(Data("line \(line) failed: \(what)\n".utf8))
    exit(CInt(line))
}

func expect(_ result: CInt, _ expected: CInt..., line: Int = #line) {
    require(expected.contains(result), "\(result), expected \(expected)", line: line)
}

/// `/proc/PID/status`, by field.
struct ProcessStatus {
    private let fields: [Substring: String]

    init(path: String) throws {
        let text = try String(contentsOfFile: path, encoding: .utf8)
        fields = Dictionary(
            text.split(separator: "\n").compactMap { line in
                line.firstIndex(of: ":").map { colon in
                    (line[..<colon], line[colon...].dropFirst().trimmingCharacters(in: .whitespaces))
                }
            }, uniquingKeysWith: { first, _ in first })
    }

    subscript(_ name: String) -> String? { fields[Substring(name)] }

    func capabilities(_ set: String) -> UInt64? { self[set].flatMap { UInt64($0, radix: 16) } }
}

/// A pipe as a signal between threads.
struct SignalPipe: Sendable {
    private let reader: CInt
    private let writer: CInt

    init() {
        var ends: [CInt] = [0, 0]
        expect(unsafe Glibc.pipe(&ends), 0)
        (reader, writer) = (ends[0], ends[1])
    }

    func write() {
        var byte: UInt8 = 1
        require(unsafe Glibc.write(writer, &byte, 1) == 1, "write")
    }

    func read() {
        var byte: UInt8 = 0
        require(unsafe Glibc.read(reader, &byte, 1) == 1, "read")
    }
}

func pipe() -> SignalPipe { SignalPipe() }

/// A thread whose result is waited for.
final class ResultThread: @unchecked Sendable {
    private let done = SignalPipe()
    private var result: CInt = 0

    init(_ body: @escaping @Sendable () -> CInt) {
        Thread {
            self.result = body()
            self.done.write()
        }.start()
    }

    func join() -> CInt {
        done.read()
        return result
    }
}

func start(_ body: @escaping @Sendable () -> CInt) -> ResultThread { ResultThread(body) }
