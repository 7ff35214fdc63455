/// The names in a PromQL expression, for checking them against those that exist. Knows the part of the language that the
/// dashboard and the alerts use, and refuses the rest.
package struct Query: Sendable {
    package struct Problem: Error, CustomStringConvertible {
        package var description: String
    }

    /// Every series that is selected, with the labels it is filtered by.
    package private(set) var selectors: [(metric: String, labels: [String])] = []
    /// Labels in `by`, `without`, `on` and `group_left` clauses.
    package private(set) var groupings: Set<String> = []

    private static let functions: Set<String> = [
        "rate", "increase", "sum", "max", "min", "avg", "count", "histogram_quantile", "changes", "time", "absent",
        "clamp_min", "label_replace", "vector",
    ]
    private static let clauses: Set<String> = ["by", "without", "on", "ignoring", "group_left", "group_right"]
    private static let operators: Set<String> = ["and", "or", "unless", "bool"]

    package init(_ text: String) throws {
        var rest = text[...]
        var depth = 0
        while let character = rest.first {
            if character.isWhitespace {
                rest = rest.dropFirst()
            } else if character.isLetter || character == "_" {
                let word = String(Self.word(&rest))
                try read(word, &rest)
            } else if character.isNumber {
                rest = rest.drop { $0.isNumber || $0 == "." || $0 == "e" }
            } else if character == "[" {
                guard let end = rest.firstIndex(of: "]") else { throw Problem(description: "[ without ]: \(text)") }
                let range = rest[rest.index(after: rest.startIndex)..<end]
                let isVariable = range == "$__rate_interval"
                guard isVariable || range.last.map({ "smhd".contains($0) }) == true && Int(range.dropLast()) != nil
                else { throw Problem(description: "no range: \(range)") }
                rest = rest[rest.index(after: end)...]
            } else if "()+-*/<>=!,".contains(character) {
                depth += character == "(" ? 1 : character == ")" ? -1 : 0
                guard depth >= 0 else { throw Problem(description: "a ) too many: \(text)") }
                rest = rest.dropFirst()
            } else {
                throw Problem(description: "'\(character)' in \(text)")
            }
        }
        guard depth == 0 else { throw Problem(description: "a ( too many: \(text)") }
        guard !selectors.isEmpty else { throw Problem(description: "selects nothing: \(text)") }
    }

    private mutating func read(_ word: String, _ rest: inout Substring) throws {
        if Self.operators.contains(word) { return }
        let next = rest.drop(while: \.isWhitespace)
        if Self.clauses.contains(word) {
            guard next.first == "(", let end = next.firstIndex(of: ")") else {
                throw Problem(description: "\(word) without labels")
            }
            let labels = next[next.index(after: next.startIndex)..<end].split(separator: ",")
            groupings.formUnion(labels.map { String($0.filter { !$0.isWhitespace }) })
            rest = next[next.index(after: end)...]
        } else if next.first == "(" || Self.functions.contains(word) {
            // Aggregations may have their clause before what they aggregate.
            guard Self.functions.contains(word) else { throw Problem(description: "no known function: \(word)") }
        } else {
            selectors.append((word, try Self.matchers(&rest)))
        }
    }

    private static func matchers(_ rest: inout Substring) throws -> [String] {
        guard rest.first == "{" else { return [] }
        rest = rest.dropFirst()
        var labels: [String] = []
        while true {
            rest = rest.drop(while: \.isWhitespace)
            if rest.first == "}" { rest = rest.dropFirst(); return labels }
            let name = word(&rest)
            guard !name.isEmpty, let sign = ["=~", "!~", "!=", "="].first(where: { rest.hasPrefix($0) }) else {
                throw Problem(description: "a bad matcher at \(rest)")
            }
            rest = rest.dropFirst(sign.count)
            guard rest.popFirst() == "\"", let end = rest.firstIndex(of: "\"") else {
                throw Problem(description: "a bad matcher of \(name)")
            }
            rest = rest[rest.index(after: end)...]
            labels.append(String(name))
            if rest.first == "," { rest = rest.dropFirst() }
        }
    }

    private static func word(_ rest: inout Substring) -> Substring {
        let word = rest.prefix { $0.isLetter || $0.isNumber || $0 == "_" || $0 == ":" }
        rest = rest.dropFirst(word.count)
        return word
    }
}
