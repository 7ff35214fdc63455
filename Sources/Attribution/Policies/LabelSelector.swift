/// A Kubernetes label selector: requirements that must all hold.
package struct LabelSelector: Sendable, Hashable {
    package enum Condition: Sendable, Hashable {
        case exists
        case doesNotExist
        case isIn(Set<String>)
        /// Holds for objects without the label, too, as in Kubernetes.
        case isNotIn(Set<String>)
    }

    package struct Requirement: Sendable, Hashable {
        package var key: String
        package var condition: Condition

        package init(_ key: String, _ condition: Condition) {
            self.key = key
            self.condition = condition
        }

        func holds(for labels: [String: String]) -> Bool {
            let value = labels[self.key]
            return switch self.condition {
            case .exists: value != nil
            case .doesNotExist: value == nil
            case .isIn(let values): value.map(values.contains) ?? false
            case .isNotIn(let values): !(value.map(values.contains) ?? false)
            }
        }
    }

    /// The requirements that one selector may hold: far more than people write, and a bound on the work for each pod.
    package static let requirementLimit = 32
    package static let valueLimit = 64
    package static let textLimit = 4096

    package let requirements: [Requirement]

    package func matches(_ labels: [String: String]) -> Bool {
        self.requirements.allSatisfy { $0.holds(for: labels) }
    }
}

/// An error in the text of a selector, completing "the selector …".
package struct LabelSelectorError: Error, Sendable, Equatable, CustomStringConvertible {
    package let description: String
}

extension LabelSelector {
    /// Parses the syntax of `kubectl get --selector`: `app=web,tier!=db,env in (a, b),zone notin (c),gpu,!spot`.
    package init(_ text: String) throws(LabelSelectorError) {
        guard text.utf8.count <= Self.textLimit else {
            throw LabelSelectorError(description: "is longer than \(Self.textLimit) bytes")
        }
        var scanner = SelectorScanner(text)
        var requirements: [Requirement] = []
        repeat {
            requirements.append(try scanner.requirement())
            guard requirements.count <= Self.requirementLimit else {
                throw LabelSelectorError(description: "has more than \(Self.requirementLimit) requirements")
            }
        } while scanner.take(",")
        guard scanner.isAtEnd else { throw scanner.error("a comma or the end") }
        self.requirements = requirements
    }
}

/// Reads a selector from left to right.
private struct SelectorScanner {
    private let text: [UInt8]
    private var position = 0

    init(_ text: String) {
        self.text = Array(text.utf8)
    }

    private mutating func skipSpace() {
        while self.position < self.text.count, self.text[self.position].isSelectorSpace { self.position += 1 }
    }

    var isAtEnd: Bool {
        mutating get {
            self.skipSpace()
            return self.position == self.text.count
        }
    }

    /// Takes `symbol`, and the space before it, if it comes next.
    mutating func take(_ symbol: String) -> Bool {
        self.skipSpace()
        guard self.text[self.position...].starts(with: symbol.utf8) else { return false }
        self.position += symbol.utf8.count
        return true
    }

    private mutating func word() -> String {
        self.skipSpace()
        let word = self.text[self.position...].prefix { !$0.isSelectorSpace && !"=!(),<>".utf8.contains($0) }
        self.position += word.count
        return String(decoding: word, as: UTF8.self)
    }

    func error(_ expected: String) -> LabelSelectorError {
        LabelSelectorError(description: "needs \(expected) after \(self.text[..<self.position].count) bytes")
    }

    mutating func requirement() throws(LabelSelectorError) -> LabelSelector.Requirement {
        if self.take("!") { return LabelSelector.Requirement(try self.key(), .doesNotExist) }
        let key = try self.key()
        if self.take("!=") { return LabelSelector.Requirement(key, .isNotIn([try self.value()])) }
        if self.take("==") || self.take("=") { return LabelSelector.Requirement(key, .isIn([try self.value()])) }
        switch self.word() {
        case "": return LabelSelector.Requirement(key, .exists)
        case "in": return LabelSelector.Requirement(key, .isIn(try self.values()))
        case "notin": return LabelSelector.Requirement(key, .isNotIn(try self.values()))
        case let other:
            throw LabelSelectorError(description: "has '\(other)' where one of =, ==, !=, in or notin must be")
        }
    }

    private mutating func values() throws(LabelSelectorError) -> Set<String> {
        guard self.take("(") else { throw self.error("a list such as (a, b)") }
        var values: Set<String> = []
        repeat {
            values.insert(try self.value())
            guard values.count <= LabelSelector.valueLimit else {
                throw LabelSelectorError(description: "has a list of more than \(LabelSelector.valueLimit) values")
            }
        } while self.take(",")
        guard self.take(")") else { throw self.error("a closing parenthesis") }
        return values
    }

    /// `[PREFIX/]NAME`: a DNS subdomain, and a name of at most 63 characters.
    private mutating func key() throws(LabelSelectorError) -> String {
        let key = self.word()
        guard !key.isEmpty else { throw self.error("a label's key") }
        guard key.isQualifiedName else {
            throw LabelSelectorError(description: "has '\(key)', which is no label's key")
        }
        return key
    }

    private mutating func value() throws(LabelSelectorError) -> String {
        let value = self.word()
        guard value.isEmpty || value.isLabelText else {
            throw LabelSelectorError(description: "has '\(value)', which is no label's value")
        }
        return value
    }
}

extension UInt8 {
    fileprivate var isSelectorSpace: Bool { self == 0x20 || (0x09...0x0d).contains(self) }
}
