import Foundation

/// The resources that a process holds at one moment, as `/proc` says it.
struct ProcessSample: Sendable {
    var time: ContinuousClock.Instant
    var residentKibibytes: Int
    /// The memory that the process has allocated: without the pages of its program, which come as code is used, and go.
    var anonymousKibibytes: Int
    var descriptors: Int
    var threads: Int

    /// `nil` when there is no such process any more.
    init?(of process: Int32) {
        let directory = "/proc/\(process)"
        guard let status = try? String(contentsOfFile: directory + "/status", encoding: .utf8),
            let descriptors = try? FileManager.default.contentsOfDirectory(atPath: directory + "/fd").count,
            let resident = Self.number("VmRSS:", in: status), let anonymous = Self.number("RssAnon:", in: status),
            let threads = Self.number("Threads:", in: status)
        else { return nil }
        time = .now
        residentKibibytes = resident
        anonymousKibibytes = anonymous
        self.descriptors = descriptors
        self.threads = threads
    }

    private static func number(_ name: String, in status: String) -> Int? {
        status.split(separator: "\n").first { $0.hasPrefix(name) }?
            .split(whereSeparator: { $0 == " " || $0 == "\t" }).dropFirst().first.flatMap { Int($0) }
    }
}

extension Sequence<ProcessSample> {
    /// How fast what is allocated rises, by least squares; 0 for fewer than two samples.
    var mebibytesPerHour: Double {
        let points = map { ($0.time, Double($0.anonymousKibibytes) / 1024) }
        guard let first = points.first, points.count > 1 else { return 0 }
        let hours = points.map { ($0.0 - first.0) / .seconds(3600) }
        let meanX = hours.reduce(0, +) / Double(points.count)
        let meanY = points.map(\.1).reduce(0, +) / Double(points.count)
        let covariance = zip(hours, points).reduce(0) { $0 + ($1.0 - meanX) * ($1.1.1 - meanY) }
        let variance = hours.reduce(0) { $0 + ($1 - meanX) * ($1 - meanX) }
        return variance > 0 ? covariance / variance : 0
    }
}

extension Sequence<Int> {
    /// The upper median; 0 of nothing.
    var median: Int {
        let sorted = sorted()
        return sorted.isEmpty ? 0 : sorted[sorted.count / 2]
    }
}
