package import Operations

/// A scrape, read strictly: whatever a strict Prometheus would refuse, and more, is an error.
package struct Exposition: Sendable {
    package struct Sample: Sendable, Hashable {
        package var name: String
        package var labels: [String: String]
        package var value: Double
    }

    package struct Family: Sendable {
        package var name: String
        package var type: String
        package var unit: String?
        package var help: String
        package var samples: [Sample] = []
    }

    package private(set) var families: [Family] = []

    package struct Problem: Error, CustomStringConvertible {
        package var description: String
    }

    package init(_ text: String, _ format: MetricExposition) throws {
        guard text.hasSuffix("\n") else { throw Problem(description: "the last line has no end") }
        var lines = text.split(separator: "\n", omittingEmptySubsequences: false).dropLast()
        if format == .openMetrics {
            guard lines.popLast() == "# EOF" else { throw Problem(description: "no # EOF at the end") }
        }
        var pending: (name: String, help: String)?
        for line in lines {
            guard !line.isEmpty else { throw Problem(description: "an empty line") }
            if line.hasPrefix("# ") {
                let words = line.dropFirst(2).split(separator: " ", maxSplits: 2).map(String.init)
                guard words.count == 3 else { throw Problem(description: "a strange comment: \(line)") }
                switch words[0] {
                case "HELP":
                    guard !families.contains(where: { $0.name == words[1] }), pending == nil else {
                        throw Problem(description: "\(words[1]) comes twice")
                    }
                    pending = (words[1], words[2])
                case "TYPE":
                    guard let help = pending, help.name == words[1] else {
                        throw Problem(description: "\(words[1]) has a type and no help")
                    }
                    families.append(Family(name: words[1], type: words[2], help: help.help))
                    pending = nil
                case "UNIT" where format == .openMetrics:
                    guard families.last?.name == words[1], families.last?.samples.isEmpty == true,
                        words[1].hasSuffix("_" + words[2])
                    else { throw Problem(description: "a misplaced unit: \(line)") }
                    families[families.count - 1].unit = words[2]
                default: throw Problem(description: "a comment of no known kind: \(line)")
                }
            } else {
                guard pending == nil, !families.isEmpty else { throw Problem(description: "no type before \(line)") }
                try families[families.count - 1].add(try Self.sample(line), format)
            }
        }
        for family in families where family.type == "histogram" { try family.checkHistogram() }
    }

    package subscript(name: String) -> Family? { families.first { $0.name == name } }

    /// The value of the sample `name` that has these labels among its own.
    package func value(_ name: String, _ labels: [String: String] = [:]) -> Double? {
        families.lazy.flatMap(\.samples).first { sample in
            sample.name == name && labels.allSatisfy { sample.labels[$0.key] == $0.value }
        }?.value
    }

    private static func sample(_ line: Substring) throws -> Sample {
        var rest = line
        func take(_ isWanted: (Character) -> Bool) -> String {
            let taken = rest.prefix(while: isWanted)
            rest = rest.dropFirst(taken.count)
            return String(taken)
        }
        func isName(_ character: Character) -> Bool {
            character == "_" || character.isASCII && (character.isLetter || character.isNumber)
        }
        var sample = Sample(name: take(isName), labels: [:], value: 0)
        guard sample.name.first?.isLetter == true else { throw Problem(description: "no name: \(line)") }
        if rest.first == "{" {
            rest = rest.dropFirst()
            repeat {
                let name = take(isName)
                guard name.first?.isLetter == true, rest.hasPrefix("=\""), sample.labels[name] == nil else {
                    throw Problem(description: "a bad label: \(line)")
                }
                rest = rest.dropFirst(2)
                var value = ""
                while let character = rest.popFirst(), character != "\"" {
                    guard character == "\\" else { value.append(character); continue }
                    switch rest.popFirst() {
                    case "n": value.append("\n")
                    case "\\": value.append("\\")
                    case "\"": value.append("\"")
                    default: throw Problem(description: "a bad escape: \(line)")
                    }
                }
                sample.labels[name] = value
                guard let next = rest.popFirst(), next == "," || next == "}" else {
                    throw Problem(description: "labels without an end: \(line)")
                }
                if next == "}" { break }
            } while true
        }
        guard rest.popFirst() == " ", !rest.contains(" "), let value = Self.number(rest) else {
            throw Problem(description: "no number: \(line)")
        }
        sample.value = value
        return sample
    }

    fileprivate static func number(_ text: some StringProtocol) -> Double? {
        switch text {
        case "+Inf": .infinity
        case "-Inf": -.infinity
        case "NaN": .nan
        default: text.first.map { $0.isNumber || $0 == "-" } == true ? Double(text) : nil
        }
    }
}

extension Exposition.Family {
    /// By type and format: the suffixes that samples may have.
    private func suffixes(_ format: MetricExposition) -> [String]? {
        switch (type, format) {
        case ("gauge", _): [""]
        case ("counter", .text): name.hasSuffix("_total") ? [""] : nil
        case ("counter", .openMetrics): name.hasSuffix("_total") ? nil : ["_total"]
        case ("info", .openMetrics): name.hasSuffix("_info") ? nil : ["_info"]
        case ("histogram", _): ["_bucket", "_sum", "_count"]
        default: nil
        }
    }

    mutating func add(_ sample: Exposition.Sample, _ format: MetricExposition) throws {
        guard let suffixes = suffixes(format), suffixes.contains(where: { sample.name == name + $0 }) else {
            throw Exposition.Problem(description: "\(sample.name) is no sample of \(name), a \(type)")
        }
        guard !samples.contains(where: { $0.name == sample.name && $0.labels == sample.labels }) else {
            throw Exposition.Problem(description: "\(sample.name) \(sample.labels) comes twice")
        }
        if type != "gauge", !(sample.value >= 0) {
            throw Exposition.Problem(description: "\(sample.name) is negative")
        }
        if type == "info", sample.value != 1 { throw Exposition.Problem(description: "\(name) is not 1") }
        if sample.name.hasSuffix("_bucket"), type == "histogram", sample.labels["le"] == nil {
            throw Exposition.Problem(description: "a bucket without a bound")
        }
        samples.append(sample)
    }

    func checkHistogram() throws {
        let series = Dictionary(grouping: samples) { $0.labels.filter { $0.key != "le" } }
        for (labels, samples) in series {
            let buckets = samples.filter { $0.name == name + "_bucket" }
                .map { (Exposition.number($0.labels["le"] ?? "") ?? .nan, $0.value) }
            let isAscending = zip(buckets, buckets.dropFirst()).allSatisfy { $0.0 < $1.0 && $0.1 <= $1.1 }
            guard isAscending, buckets.last?.0 == .infinity,
                samples.first(where: { $0.name == name + "_count" })?.value == buckets.last?.1,
                samples.contains(where: { $0.name == name + "_sum" })
            else { throw Exposition.Problem(description: "\(name) \(labels) is no histogram") }
        }
    }
}
