/// The version that the agent reports of itself.
package enum AgentVersion {
    package static let current = "0.2.0"
}
