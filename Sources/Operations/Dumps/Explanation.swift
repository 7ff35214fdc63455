/// Why a pod does or does not get its identity, stage by stage, in the order of a request.
package struct Explanation: Codable, Sendable, Equatable {
    package struct Stage: Codable, Sendable, Equatable {
        package enum Outcome: String, Codable, Sendable {
            case ok, warning, failed
            /// The stage was not tried, because an earlier one failed, or was not needed.
            case skipped
        }

        package var name: String
        package var outcome: Outcome
        package var detail: String
        /// The remedy, and who can apply it.
        package var remedy: String?

        package init(_ name: String, _ outcome: Outcome, _ detail: String, remedy: String? = nil) {
            self.name = name
            self.outcome = outcome
            self.detail = detail
            self.remedy = remedy
        }
    }

    package var node: String
    /// Namespace and name, if the pod is known.
    package var pod: String?
    package var uid: String?
    package var stages: [Stage]

    package init(node: String, pod: String?, uid: String?, stages: [Stage]) {
        self.node = node
        self.pod = pod
        self.uid = uid
        self.stages = stages
    }

    /// The first stage that fails: the cause, whatever else is wrong behind it.
    package var cause: Stage? { stages.first { $0.outcome == .failed } }

    package func text(on terminal: Terminal = .plain) -> String {
        var text = "\(pod ?? "pod") on node \(node)" + (uid.map { ", UID \($0)" } ?? "") + "\n\n"
        let width = stages.map(\.name.count).max() ?? 0
        for stage in stages {
            let mark = terminal.styled(stage.outcome.mark, stage.outcome.style)
            let name = stage.name + String(repeating: " ", count: width - stage.name.count)
            text += "  \(mark)  \(name)  \(Self.indented(stage.detail, by: width + 10))\n"
            if let remedy = stage.remedy {
                let indent = String(repeating: " ", count: width + 10)
                text += indent + terminal.styled("fix: ", .strong) + Self.indented(remedy, by: width + 15) + "\n"
            }
        }
        let verdict =
            cause.map { terminal.styled("gets no identity", .bad) + ": \($0.name)" }
            ?? terminal.styled("gets its identity", .good)
        return text + "\n\(pod ?? "the pod") \(verdict)\n"
    }

    private static func indented(_ text: String, by width: Int) -> String {
        text.split(separator: "\n").joined(separator: "\n" + String(repeating: " ", count: width))
    }
}

extension Explanation.Stage.Outcome {
    fileprivate var mark: String {
        switch self {
        case .ok: "ok     "
        case .warning: "warning"
        case .failed: "FAILED "
        case .skipped: "-      "
        }
    }

    fileprivate var style: TextStyle {
        switch self {
        case .ok: .good
        case .warning: .warning
        case .failed: .bad
        case .skipped: .faint
        }
    }
}
