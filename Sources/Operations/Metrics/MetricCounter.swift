import Synchronization

/// A number that only grows. One atomic addition an event, nothing to wait for.
package final class MetricCounter: Sendable {
    private let value = Atomic<UInt64>(0)

    package init() {}

    package var current: UInt64 { value.load(ordering: .relaxed) }

    package func increment(by count: UInt64 = 1) {
        value.wrappingAdd(count, ordering: .relaxed)
    }
}

/// One counter for each case of a closed set. All exist from the start, so that counting allocates nothing.
package struct CounterTable<Key: CaseIterable & Hashable & Sendable>: Sendable {
    private let counters: [Key: MetricCounter]

    package init() {
        counters = Dictionary(uniqueKeysWithValues: Key.allCases.map { ($0, MetricCounter()) })
    }

    package func increment(_ key: Key) {
        counters[key]?.increment()
    }

    package subscript(key: Key) -> UInt64 { counters[key]?.current ?? 0 }

    /// The keys and their values, in the order of the set.
    package var values: [(key: Key, value: UInt64)] {
        Key.allCases.map { ($0, self[$0]) }
    }
}

extension CounterTable where Key: RawRepresentable, Key.RawValue == String {
    /// One sample a case, labelled with its raw value in snake case.
    package var samples: [MetricSample] {
        values.map { MetricSample([MetricLabel.snakeCase($0.key.rawValue)], .integer($0.value)) }
    }
}

/// How names of cases become label values.
package enum MetricLabel {
    /// `rate_limited` for `rateLimited`.
    package static func snakeCase(_ name: String) -> String {
        var text = ""
        for character in name {
            if character.isUppercase { text += "_" }
            text += character.lowercased()
        }
        return text
    }
}
