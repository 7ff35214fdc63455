extension ConfigurationKey {
    /// Keys whose change takes effect on SIGHUP.
    private static let reloadable: Set<String> = ["policies", "kubernetes.events", "log.level"]

    /// Whether a running agent can take over a change. Everything else is fixed when it starts: sockets, hooks, clients.
    package var isReloadable: Bool { Self.reloadable.contains(name) }
}
