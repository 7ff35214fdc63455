/// The text that two runs of the same commands have in common, whatever machine they ran on: every word of the page and
/// every command; of what is printed the words without numbers and widths; and of the check, whose findings are about
/// the machine, the names of what it looked at.
package enum CaptureStructure {
    package static func lines(of page: String) -> [String] {
        var result: [String] = []
        var isOutput = false
        var isCheck = false
        for line in page.split(separator: "\n", omittingEmptySubsequences: false) {
            if line.hasPrefix("```") {
                isOutput = line != "```"
                isCheck = false
            } else if isOutput, line.hasPrefix("$ ") {
                isCheck = line == "$ podidentd check" || line == "$ kubectl podidentd check --all"
            } else if isCheck {
                // Two blanks, the state, two blanks, the name; what was found goes on further right.
                guard !line.hasPrefix("   ") else { continue }
                let words = line.split(separator: " ")
                if line.hasPrefix("  ") { result.append(String(words.dropFirst().first ?? "")) }
                continue
            } else if isOutput {
                result.append(withoutNumbers(line))
                continue
            }
            result.append(String(line))
        }
        return result
    }

    private static func withoutNumbers(_ line: Substring) -> String {
        line.split(separator: " ").joined(separator: " ").replacing(/[0-9]+/, with: "#")
    }
}
