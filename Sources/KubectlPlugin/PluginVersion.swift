/// The version of the plugin, which is that of the agent: a test compares the two.
package enum PluginVersion {
    package static let current = "0.2.0"
}
