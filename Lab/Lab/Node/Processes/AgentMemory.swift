import Foundation

/// Resident memory of a process, in bytes.
package struct AgentMemory: Sendable {
    package let resident: Int
    /// The most since the start of the process, or since ``forgetPeak(of:)``.
    package let peak: Int

    package init(of process: Int32) throws {
        let status = try String(contentsOfFile: "/proc/\(process)/status", encoding: .utf8)
        func value(_ name: String) throws -> Int {
            let line = status.split(separator: "\n").first { $0.hasPrefix(name + ":") }
            guard let kibibytes = line?.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap({ Int($0) })
            else { throw LabError("/proc/\(process)/status has no \(name)") }
            return kibibytes << 10
        }
        resident = try value("VmRSS")
        peak = try value("VmHWM")
    }

    /// Lets the peak begin with what is resident now.
    package static func forgetPeak(of process: Int32) throws {
        try "5".write(toFile: "/proc/\(process)/clear_refs", atomically: false, encoding: .utf8)
    }
}
