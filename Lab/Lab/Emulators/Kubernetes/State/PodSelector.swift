import Foundation

/// The pods that a list or watch is about: namespace, field selector, label selector.
struct PodSelector: Sendable, Equatable {
    enum Operator: Sendable { case equals, differs, exists, absent }

    struct Requirement: Sendable, Equatable {
        var key: String
        var comparison: Operator
        var value: String
    }

    var namespace: String?
    var fields: [Requirement]
    var labels: [Requirement]

    /// Reads the selectors of a query. `nil` when a field selector names a field that pods do not have.
    init?(namespace: String?, fieldSelector: String?, labelSelector: String?) {
        self.namespace = namespace
        fields = Self.parse(fieldSelector ?? "")
        labels = Self.parse(labelSelector ?? "")
        let isKnown = fields.allSatisfy {
            Self.field($0.key) != nil && ($0.comparison == .equals || $0.comparison == .differs)
        }
        guard isKnown else { return nil }
    }

    /// The value that the selector demands of `field` by equality.
    func required(_ field: String) -> String? {
        fields.first { $0.key == field && $0.comparison == .equals }?.value
    }

    func matches(_ pod: LabPod?) -> Bool {
        guard let pod, namespace == nil || namespace == pod.namespace else { return false }
        return fields.allSatisfy { requirement in
            let value = Self.field(requirement.key)?(pod) ?? ""
            return (value == requirement.value) == (requirement.comparison == .equals)
        } && labels.allSatisfy { Self.matches($0, pod.labels[$0.key]) }
    }

    private static func matches(_ requirement: Requirement, _ value: String?) -> Bool {
        switch requirement.comparison {
        case .equals: value == requirement.value
        case .differs: value != requirement.value
        case .exists: value != nil
        case .absent: value == nil
        }
    }

    /// `a=b,c==d,e!=f,g,!h`.
    private static func parse(_ text: String) -> [Requirement] {
        text.split(separator: ",").map { term in
            for (spelling, comparison) in [("!=", Operator.differs), ("==", .equals), ("=", .equals)] {
                if let range = term.range(of: spelling) {
                    return Requirement(
                        key: String(term[..<range.lowerBound]),
                        comparison: comparison,
                        value: String(term[range.upperBound...])
                    )
                }
            }
            return term.hasPrefix("!")
                ? Requirement(key: String(term.dropFirst()), comparison: .absent, value: "")
                : Requirement(key: String(term), comparison: .exists, value: "")
        }
    }

    private static func field(_ name: String) -> (@Sendable (LabPod) -> String)? {
        switch name {
        case "metadata.name": { $0.name }
        case "metadata.namespace": { $0.namespace }
        case "spec.nodeName": { $0.nodeName ?? "" }
        case "spec.serviceAccountName": { $0.serviceAccountName }
        case "spec.hostNetwork": { String($0.isHostNetwork) }
        case "status.phase": { $0.phase }
        case "status.podIP": { $0.podIP ?? "" }
        default: nil
        }
    }
}
