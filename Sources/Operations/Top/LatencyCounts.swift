/// Counts of durations in buckets whose bounds double: 1 µs, 2 µs, 4 µs and so on up to 8.4 s, and a last one for the rest.
///
/// A hundred bytes a pod, where a ``LatencyHistogram`` of the metrics would take a thousand.
package struct LatencyCounts: Sendable, Equatable {
    package static let bucketCount = 25

    private var counts = InlineArray<25, UInt32>(repeating: 0)

    package init() {}

    /// Counts one duration. A bucket that is full stays full.
    package mutating func observe(nanoseconds: UInt64) {
        let microseconds = nanoseconds / 1000 + (nanoseconds % 1000 == 0 ? 0 : 1)
        let bits = microseconds <= 1 ? 0 : UInt64.bitWidth - (microseconds - 1).leadingZeroBitCount
        let index = min(bits, Self.bucketCount - 1)
        if counts[index] < .max { counts[index] += 1 }
    }

    package var total: UInt64 { values.reduce(0) { $0 + UInt64($1) } }

    /// The upper bound of the bucket that holds the quantile, in microseconds.
    ///
    /// - Parameter share: From 0 to 1; 0.99 is the duration that 99 of 100 do not exceed.
    /// - Returns: The bound; `nil` if nothing was counted. Of the last bucket, the greatest bound that there is.
    package func bound(of share: Double) -> UInt64? {
        let total = total
        guard total > 0 else { return nil }
        let wanted = max(1, UInt64((Double(total) * share).rounded(.up)))
        var seen: UInt64 = 0
        for index in 0..<Self.bucketCount {
            seen += UInt64(counts[index])
            if seen >= wanted { return 1 << UInt64(min(index, Self.bucketCount - 2)) }
        }
        return nil
    }

    /// The durations that were counted since `earlier`; all of them if `earlier` has more, because another agent counted.
    package func since(_ earlier: LatencyCounts) -> LatencyCounts {
        var result = self
        for index in 0..<Self.bucketCount {
            guard counts[index] >= earlier.counts[index] else { return self }
            result.counts[index] = counts[index] - earlier.counts[index]
        }
        return result
    }

    package static func == (left: LatencyCounts, right: LatencyCounts) -> Bool { left.values == right.values }

    private var values: [UInt32] { (0..<Self.bucketCount).map { counts[$0] } }
}

/// Coded as the list of its buckets, without the empty ones at the end.
extension LatencyCounts: Codable {
    package init(from decoder: any Decoder) throws {
        let values = try decoder.singleValueContainer().decode([UInt32].self)
        guard values.count <= Self.bucketCount else {
            throw DecodingError.dataCorrupted(
                DecodingError.Context(
                    codingPath: decoder.codingPath, debugDescription: "there are more than \(Self.bucketCount) buckets")
            )
        }
        for (index, value) in values.enumerated() { counts[index] = value }
    }

    package func encode(to encoder: any Encoder) throws {
        var values = values
        while values.last == 0 { values.removeLast() }
        var container = encoder.singleValueContainer()
        try container.encode(values)
    }
}
