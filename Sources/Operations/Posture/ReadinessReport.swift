package import Attribution

/// The admin socket's report about readiness: the agent's pod, and the problems.
package struct ReadinessReport: Codable, Sendable, Equatable {
    /// The UID of the pod that the agent runs in; `nil`: it was not told.
    package var podUID: String?
    /// The problems, each beginning with its condition's name. Empty: the agent is ready.
    package var problems: [String]
    /// The evidence of conditions that hold, where there is something to say: `connection: answered ...`. `nil`: an
    /// agent of an earlier version.
    package var remarks: [String]?

    package init(_ readiness: Readiness, podUID: PodUID?) {
        self.podUID = podUID?.description
        problems = readiness.conditions.compactMap { condition in
            condition.problem.map { "\(condition.name): \($0)" }
        }
        remarks = readiness.conditions.compactMap { condition in
            condition.problem == nil ? condition.remark.map { "\(condition.name): \($0)" } : nil
        }
    }

    /// Why the agent of pod `own` is not ready, in one line; `nil`: it is. Without `own`, any agent will do.
    ///
    /// Two pods of a DaemonSet that is being updated share the node's network and the agents' sockets: until the new
    /// agent has taken over, the old one answers, and must not answer for it.
    package func objection(ofPod own: PodUID?) -> String? {
        if let own, podUID.flatMap({ PodUID($0) }) != own {
            let other = podUID.map { "the agent of pod \($0)" } ?? "an agent that was not told its pod-uid"
            return "\(other) answers here, and not that of this pod, \(own): this one has handed over to it, or has "
                + "not taken over from it"
        }
        return problems.isEmpty ? nil : problems.joined(separator: "; ")
    }
}
