package import Clouds
package import GoogleMetadata
package import KubernetesAPI
package import Logging
package import Settings
import Synchronization
import Tokens

/// The answers of `instance/`: the configuration from the start, completed by the node's own Node object once that is
/// read. Nothing waits for it; without the right to read it the defaults stay.
package final class NodeInformation: Sendable {
    private let configuration: AgentConfiguration
    private let client: KubernetesClient
    private let logger: Logger
    private let place: NodePlace
    private let storage: Mutex<InstanceAttributes>

    package init(configuration: AgentConfiguration, client: KubernetesClient, place: NodePlace, logger: Logger) {
        self.configuration = configuration
        self.client = client
        self.logger = logger
        self.place = place
        let attributes = InstanceAttributes(configuration, node: nil)
        self.storage = Mutex(attributes)
        note(attributes)
    }

    package var attributes: InstanceAttributes { storage.withLock { $0 } }

    /// Reads the Node object, and reads it again now and then, until its task is cancelled.
    package func run() async {
        var plan = NodeReadPlan()
        while !Task.isCancelled {
            let pause = await read(&plan)
            // Cancellation is what the loop's condition looks at.
            try? await Task.sleep(for: pause)
        }
    }

    private func note(_ attributes: InstanceAttributes) {
        let zone = attributes.zone == InstanceAttributes.unknown ? nil : attributes.zone
        place.note(region: attributes.region, zone: zone)
    }

    private func read(_ plan: inout NodeReadPlan) async -> Duration {
        do throws(UpstreamFailure) {
            let node = try await client.node(configuration.nodeName)
            let attributes = InstanceAttributes(configuration, node: node)
            storage.withLock { $0 = attributes }
            note(attributes)
            let step = plan.succeeded(
                isComplete: attributes.region != nil && attributes.zone != InstanceAttributes.unknown)
            if step.isNews {
                logger.info(
                    "node read", metadata: ["zone": "\(attributes.zone)", "instance-id": "\(attributes.id)"]
                )
            }
            return step.pause
        } catch {
            let step = plan.failed(error.kind, jitter: .random(in: 0...1))
            if step.isNews, !Task.isCancelled {
                logger.warning(
                    "the Node object cannot be read: what is not configured of instance/ keeps what was known before",
                    metadata: ["error": "\(error.message)"]
                )
            }
            return step.pause
        }
    }
}
