import Foundation

/// The findings of a soak, window by window.
package struct SoakReport: Codable, Sendable {
    /// Nearest-rank percentiles in microseconds, as the client saw them.
    package struct Latency: Codable, Sendable, Equatable {
        package var count = 0
        package var p50 = 0
        package var p99 = 0

        init(_ microseconds: [Int64]) {
            let sorted = microseconds.sorted()
            count = sorted.count
            guard !sorted.isEmpty else { return }
            p50 = Int(sorted[(sorted.count * 50 - 1) / 100])
            p99 = Int(sorted[(sorted.count * 99 - 1) / 100])
        }
    }

    /// A part of the time, of equal length.
    package struct Window: Codable, Sendable {
        package var number: Int
        /// The number of the agent that served: 1, and 2 after the hand-over.
        package var agent: Int
        /// The first window of each agent, in which it may grow.
        package var isWarmUp: Bool
        package var requests: Int
        /// Right answers, and refusals that the state of the pod at that moment explains.
        package var own: Int
        package var explained: Int
        package var wrong: Int
        package var unexplained: Int
        package var shortLivedPods: Int
        package var mints: Int
        /// Medians of the window.
        package var residentKibibytes: Int
        package var anonymousKibibytes: Int
        package var descriptors: Int
        package var threads: Int
        package var newConnections: Latency
        package var keptConnections: Latency
    }

    /// How the allocated (anonymous) memory of one agent went after its warm-up.
    package struct Memory: Codable, Sendable {
        package var agent: Int
        package var riseKibibytes: Int
        package var mebibytesPerHour: Double
        package var observedSeconds: Double
    }

    /// One thing that was looked at.
    package struct Finding: Codable, Sendable {
        package var name: String
        package var isGood: Bool
        package var text: String
        /// A timing: reported, and no part of the verdict.
        package var isTiming = false
    }

    /// The median of the last window may lie so far above that of the first after the warm-up.
    package static let allowedRiseKibibytes = 4096
    /// The slope counts when an agent was watched for ten minutes: shorter, noise is steeper than any leak that matters.
    package static let allowedMebibytesPerHour = 12.0
    package static let slopeCountsAfterSeconds = 600.0
    /// More connections, also to upstreams, may be open at one moment than at another; a leak is hundreds.
    package static let allowedDescriptorRise = 16
    /// Pools start a thread when they need one.
    package static let allowedThreadRise = 2
    /// p99 of the last window against that of the first after the warm-up.
    package static let noticedDrift = 1.5

    package var seconds: Double
    package var windows: [Window]
    package var memory: [Memory]
    /// The tables before the load with everybody known, and after it.
    package var tablesBefore: AgentTables
    package var tablesAfter: AgentTables
    package var trapConnections: Int
    package var watchEnds: Int
    /// The wrong and the unexplained outcomes in words, at most twenty of each.
    package var wrong: [String]
    package var unexplained: [String]

    /// The findings by the limits above.
    package var findings: [Finding] {
        [identities, refusals, trap] + memory.map(finding) + [descriptors, threads, tables, drift]
    }

    /// Whether everything is good that is not a timing.
    package var isGood: Bool { findings.allSatisfy { $0.isGood || $0.isTiming } }
}

extension SoakReport {
    private var identities: Finding {
        let count = windows.reduce(0) { $0 + $1.wrong }
        return Finding(name: "wrong identities", isGood: count == 0, text: "\(count)")
    }

    private var refusals: Finding {
        let count = windows.reduce(0) { $0 + $1.unexplained }
        return Finding(name: "unexplained refusals", isGood: count == 0, text: "\(count)")
    }

    private var trap: Finding {
        Finding(name: "connections past the redirect", isGood: trapConnections == 0, text: "\(trapConnections)")
    }

    private func finding(_ memory: Memory) -> Finding {
        let slopeCounts = memory.observedSeconds >= Self.slopeCountsAfterSeconds
        let rise = Double(memory.riseKibibytes) / 1024
        let slope = memory.mebibytesPerHour.text
        return Finding(
            name: "memory, agent \(memory.agent)",
            isGood: memory.riseKibibytes <= Self.allowedRiseKibibytes
                && (!slopeCounts || memory.mebibytesPerHour <= Self.allowedMebibytesPerHour),
            text: "\(rise.text) MiB after the warm-up (allowed \(Self.allowedRiseKibibytes / 1024)), "
                + (slopeCounts
                    ? "\(slope) MiB/h (allowed \(Int(Self.allowedMebibytesPerHour)))"
                    : "\(Int(memory.observedSeconds)) s are too short for a slope")
        )
    }

    private var descriptors: Finding {
        let rise = largestRise(of: \.descriptors)
        return Finding(
            name: "descriptors", isGood: rise <= Self.allowedDescriptorRise,
            text: "\(rise) more (allowed \(Self.allowedDescriptorRise))")
    }

    private var threads: Finding {
        let rise = largestRise(of: \.threads)
        return Finding(
            name: "threads", isGood: rise <= Self.allowedThreadRise,
            text: "\(rise) more (allowed \(Self.allowedThreadRise))")
    }

    private var tables: Finding {
        let isEmptied = tablesAfter.isEmptied(to: tablesBefore)
        return Finding(
            name: "tables emptied", isGood: isEmptied,
            text: isEmptied
                ? "as before: \(tablesAfter.cgroups) cgroups, \(tablesAfter.connectionCounts) counters, \(tablesAfter.namespaces) namespaces, "
                    + "\(tablesAfter.tokenEntries) tokens of those who stay, nothing under way"
                : "before \(tablesBefore), after \(tablesAfter)")
    }

    private var drift: Finding {
        let steady = windows.filter { !$0.isWarmUp }
        guard let first = steady.first, let last = steady.last, first.newConnections.p99 > 0 else {
            return Finding(name: "p99", isGood: true, text: "no measurements", isTiming: true)
        }
        let ratio = Double(last.newConnections.p99) / Double(first.newConnections.p99)
        return Finding(
            name: "p99", isGood: ratio <= Self.noticedDrift,
            text: "\(first.newConnections.p99) µs in the first window, \(last.newConnections.p99) µs in the last: "
                + "\(ratio.text) x (noticed above \(Self.noticedDrift); a timing, hence no part of the verdict)",
            isTiming: true)
    }

    /// How far the last window of an agent lies above its first after the warm-up; the most of all agents.
    private func largestRise(of value: KeyPath<Window, Int>) -> Int {
        memory.map { memory in
            let steady = windows.filter { $0.agent == memory.agent && !$0.isWarmUp }
            return (steady.last?[keyPath: value] ?? 0) - (steady.first?[keyPath: value] ?? 0)
        }.max() ?? 0
    }
}

extension Double {
    /// Two decimals.
    fileprivate var text: String { String(format: "%.2f", self) }
}
