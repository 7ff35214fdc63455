import ArgumentParser

/// The command line of the kubectl plugin.
@main
struct Plugin: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "kubectl-podidentd",
        abstract: "Asks the podidentd agents of a cluster, from where kubectl works.",
        discussion: """
            Runs the agents' own debug commands with 'kubectl exec', by your kubeconfig and your rights: get and list \
            pods, get and create pods/exec in the namespace of the agents; 'explain' also gets the pod, 'audit' also \
            gets pods/log.

              kubectl podidentd status
              kubectl podidentd explain shop/web-1
              kubectl podidentd top
              kubectl podidentd check --all

            Exit status: 0 all is well; 1 a node is degraded or did not answer, or the pod gets no identity; 2 a node \
            is unsafe; 64 the command was called wrongly; 69 the cluster could not be asked.
            """,
        subcommands: [
            StatusCommand.self, ExplainCommand.self, TopCommand.self, CheckCommand.self, CgroupsCommand.self,
            TokensCommand.self, ConnectionsCommand.self, AuditCommand.self, BundleCommand.self,
            PluginVersionCommand.self,
        ]
    )
}
