import Clouds
import MetadataProtocol
import Operations
import Tokens

extension PostureCheck {
    /// Whether the token service of each cloud besides Google can be reached.
    func cloudSections() async -> [Posture.Section] {
        var sections: [Posture.Section] = []
        for type in configuration.servedClouds {
            let id = "\(type.name.rawValue).sts"
            do {
                // A key of its own: nothing here makes a token.
                let parts = CloudParts(place: NodePlace(), sessionTokens: SessionTokens(key: SessionTokens.makeKey()))
                let module = try type.init(configuration, parts)
                let (host, failure) = await module.reach()
                await module.shutdown()
                let item =
                    failure.map { failure in
                        Posture.Item(
                            id, failure.kind == .misconfigured ? .unknown : .degraded, failure.message,
                            meaning: "Pods get no new credentials of this cloud. See the node's DNS and firewall.")
                    } ?? Posture.Item(id, .ok, "\(host) answers")
                sections.append(Posture.Section(type.name.rawValue, [item]))
            } catch {
                sections.append(Posture.Section(type.name.rawValue, [Posture.Item(id, .degraded, "\(error)")]))
            }
        }
        return sections
    }
}
