/// A key that earlier versions had. An agent that finds one ends at its start: the key no longer has the effect that the
/// operator relies on.
package struct RemovedKey: Sendable {
    package let name: String
    /// Why it is gone, completing the sentence "… is no longer a configuration key: …".
    let reason: String

    private static let address =
        "pods are served inside their own network namespaces, and the agent needs no address of the node; remove it"

    package static let all: [RemovedKey] = [
        RemovedKey(name: "listen.address", reason: address),
        RemovedKey(name: "listen.address6", reason: address),
        RemovedKey(
            name: "redirect.socket-mark",
            reason: "no connection leaves its pod, so no mesh sees one that would have to be marked; remove it"),
    ]

    var environmentName: String { ConfigurationKey.environmentName(of: name) }

    /// Refuses the first that is set.
    static func refuse(
        _ values: [String: (value: String, source: String)], environment: [String: String]
    ) throws(ConfigurationError) {
        for key in all {
            let source = values[key.name]?.source ?? environment[key.environmentName].map { _ in key.environmentName }
            guard let source else { continue }
            throw ConfigurationError(
                "\(key.name) (\(source)) is no longer a configuration key: \(key.reason) (operations.md, \"Migrating\")"
            )
        }
    }
}
