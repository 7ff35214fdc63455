/// One family of metrics: its name, meaning and shape. Nothing is exposed that has no definition.
package struct MetricDefinition: Sendable, Hashable {
    package enum Kind: String, Sendable, Hashable {
        case counter
        case gauge
        case histogram
        /// A constant 1 whose labels are the information.
        case info
    }

    package enum Unit: String, Sendable, Hashable {
        case seconds
        case bytes
    }

    /// The name without the suffix that the kind adds (`_total`, `_info`). Ends in the unit, if there is one.
    package let name: String
    package let kind: Kind
    package let unit: Unit?
    /// Every sample carries exactly these, in this order. All their values come from closed sets.
    package let labels: [String]
    package let help: String

    package init(_ name: String, _ kind: Kind, unit: Unit? = nil, labels: [String] = [], _ help: String) {
        self.name = name
        self.kind = kind
        self.unit = unit
        self.labels = labels
        self.help = help
    }

    /// The name as queries write it; a histogram has `_bucket`, `_sum` and `_count` in addition.
    package var sampleName: String {
        switch kind {
        case .counter: name + "_total"
        case .info: name + "_info"
        case .gauge, .histogram: name
        }
    }
}

/// A family with its present values.
package struct MetricFamily: Sendable, Equatable {
    package var definition: MetricDefinition
    package var samples: [MetricSample]

    package init(_ definition: MetricDefinition, _ samples: [MetricSample]) {
        self.definition = definition
        self.samples = samples
    }

    /// A family without labels.
    package init(_ definition: MetricDefinition, _ value: MetricSample.Value?) {
        self.init(definition, value.map { [MetricSample([], $0)] } ?? [])
    }
}

/// One value of a family.
package struct MetricSample: Sendable, Equatable {
    package enum Value: Sendable, Equatable {
        case integer(UInt64)
        case real(Double)
        case histogram(LatencyHistogram.Snapshot)

        package static func count(_ value: Int) -> Value { .integer(UInt64(max(value, 0))) }
        package static func flag(_ value: Bool) -> Value { .integer(value ? 1 : 0) }
    }

    /// The values of the labels, in the order of ``MetricDefinition/labels``.
    package var labels: [String]
    package var value: Value

    package init(_ labels: [String], _ value: Value) {
        self.labels = labels
        self.value = value
    }
}
