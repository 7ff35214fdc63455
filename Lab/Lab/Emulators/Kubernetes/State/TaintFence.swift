import Foundation

/// The ValidatingAdmissionPolicy of the component startup-taint, as far as this emulator evaluates it: for one account it
/// lets nothing of a Node change but the removal of one taint, on the account's own node.
///
/// CEL is not evaluated: account, taint and the fields that must stay are read from the expressions, whose form the real API
/// server was shown. `deploy/tests/test_policies.py` evaluates them.
struct TaintFence: Sendable, Equatable {
    var policy: String
    var username: String
    var taintKey: String
    /// The fields of `metadata` and `spec` that the policy compares, all but the taints and what the server writes.
    var compared: Set<String>

    /// The fence among `objects`, if there is one and it is bound to deny.
    static func find(in objects: [JSON]) -> TaintFence? {
        for policy in objects where policy.kind == "ValidatingAdmissionPolicy" {
            let isBound = objects.contains { binding in
                binding.kind == "ValidatingAdmissionPolicyBinding"
                    && binding["spec"]?["policyName"]?.string == policy.name
                    && binding["spec"]?["validationActions"]?.strings == ["Deny"]
            }
            let spec = policy["spec"] ?? [:]
            let conditions = (spec["matchConditions"]?.array ?? []).compactMap { $0["expression"]?.string }
            let validations = (spec["validations"]?.array ?? []).compactMap { $0["expression"]?.string }
            guard isBound, spec["failurePolicy"]?.string == "Fail",
                let username = conditions.compactMap({ quoted($0, after: "request.userInfo.username == ") }).first,
                let taintKey = validations.compactMap({ quoted($0, after: "t.key != ") }).first
            else { continue }
            return TaintFence(
                policy: policy.name, username: username, taintKey: taintKey,
                compared: Set(validations.flatMap(compared)))
        }
        return nil
    }

    private static func compared(_ expression: String) -> [String] {
        ["metadata", "spec"].filter { expression.contains("object.\($0).all(k, ") }
    }

    private static func quoted(_ text: String, after words: String) -> String? {
        guard let range = text.range(of: words + "'") else { return nil }
        return text[range.upperBound...].split(separator: "'", omittingEmptySubsequences: false).first.map(String.init)
    }

    /// Throws the 422 of a change that the policy denies.
    func admit(_ user: KubernetesUser, from old: JSON, to new: JSON) throws(KubernetesStatus) {
        guard user.name == username else { return }
        guard user.extra["authentication.kubernetes.io/node-name"] == [new.name] else {
            throw denied(new.name, "only the agent of this node may change it")
        }
        func taints(_ node: JSON) -> [JSON] { node["spec"]?["taints"]?.array ?? [] }
        guard taints(new) == taints(old).filter({ $0["key"]?.string != taintKey }) else {
            throw denied(new.name, "the agent may only remove its own taint")
        }
        for place in compared {
            func fields(_ node: JSON) -> [JSON.Member] {
                (node[place]?.members ?? []).filter { !Self.exempt.contains($0.name) }.sorted { $0.name < $1.name }
            }
            guard fields(new) == fields(old) else { throw denied(new.name, "the agent may not change \(place)") }
        }
    }

    private static let exempt: Set = ["taints", "managedFields", "resourceVersion", "generation"]

    private func denied(_ node: String, _ message: String) -> KubernetesStatus {
        var status = KubernetesStatus.forbidden(
            "nodes", node,
            "ValidatingAdmissionPolicy '\(policy)' with binding '\(policy)' denied request: \(message)")
        status.code = 422
        status.reason = "Invalid"
        return status
    }
}
