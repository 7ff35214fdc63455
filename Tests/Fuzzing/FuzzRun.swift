package import Foundation

/// How long to fuzz, and with what.
package enum FuzzRun {
    /// `usual` inputs in `make test`; in `make fuzz ITERATIONS=n`, n.
    package static func iterations(usual: Int) -> Int {
        guard let text = ProcessInfo.processInfo.environment["PODIDENTD_FUZZ_ITERATIONS"] else { return usual }
        guard let number = Int(text), number > 0 else {
            preconditionFailure("PODIDENTD_FUZZ_ITERATIONS is a whole number above 0, and not '\(text)'")
        }
        return number
    }

    /// Calls `body` with each of so many seeds.
    ///
    /// An input that traps takes the process with it. `PODIDENTD_FUZZ_TRACE` names a file that then holds what `note` was
    /// last told.
    package static func seeds(usual: Int, from base: UInt64 = 1, _ body: (UInt64) throws -> Void) rethrows {
        for seed in base..<base + UInt64(iterations(usual: usual)) { try body(seed) }
    }

    /// Notes an input before it is tried.
    package static func note(_ input: [UInt8]) {
        guard let tracePath else { return }
        try? Data(input).write(to: URL(fileURLWithPath: tracePath))
    }

    /// Every file of a corpus folder, by name.
    package static func corpus(_ folder: URL) throws -> [(name: String, bytes: [UInt8])] {
        try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)
            .sorted { $0.path < $1.path }
            .map { ($0.lastPathComponent, [UInt8](try Data(contentsOf: $0))) }
    }

    /// Bytes as one can paste them into a test.
    package static func text(_ bytes: [UInt8]) -> String {
        bytes.prefix(2_000).map { byte in
            switch byte {
            case 0x0a: "\\n"
            case 0x0d: "\\r"
            case 0x20...0x7e: String(UnicodeScalar(byte))
            default: "\\u{\(String(byte, radix: 16))}"
            }
        }.joined()
    }

    private static let tracePath = ProcessInfo.processInfo.environment["PODIDENTD_FUZZ_TRACE"]
}
