import Foundation

/// Values of the environment that change what labs and tests do. A wrong one ends the process with a sentence: what would
/// run in its place is not what was asked for.
package enum LabEnvironment {
    /// The number that a variable holds; `usual` where it is not set, or empty.
    package static func number(_ name: String, usual: Int) -> Int {
        guard let text = value(name) else { return usual }
        guard let number = parse(text) else { end("\(name) is a whole number above 0, and not '\(text)'.") }
        return number
    }

    /// The one of `all` that a variable names; `usual` where it is not set, or empty.
    package static func choice<Value: CustomStringConvertible>(_ name: String, of all: [Value], usual: Value) -> Value {
        guard let text = value(name) else { return usual }
        guard let choice = all.first(where: { $0.description == text }) else {
            end("\(name) is one of \(all.map(\.description).joined(separator: ", ")), and not '\(text)'.")
        }
        return choice
    }

    /// Digits alone, as the tools that set such variables check them.
    private static func parse(_ text: String) -> Int? {
        guard text.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let number = Int(text) else { return nil }
        return number > 0 ? number : nil
    }

    private static func value(_ name: String) -> String? {
        ProcessInfo.processInfo.environment[name].flatMap { $0.isEmpty ? nil : $0 }
    }

    private static func end(_ sentence: String) -> Never {
        FileHandle.standardError.write(Data((sentence + "\n").utf8))
        exit(64)
    }
}
