/// A failure around the agent that it survives: each has a line in the log and a counter.
package enum Incident: String, Sendable, CaseIterable {
    /// The node's clock was set.
    case clockStepped = "clock_stepped"
    /// The process did not run for a while: stopped, frozen, or starved.
    case stalled
    /// The BPF file system was unmounted, or pins were removed, under the running agent.
    case pinsLost = "pins_lost"
    case pinsRestored = "pins_restored"
    /// The kubelet made its kubepods cgroup again.
    case kubepodsRecreated = "kubepods_recreated"
    /// A kubepods cgroup of another kubelet appeared.
    case otherKubepods = "other_kubepods"
    /// The kernel could not queue cgroup events, and the hierarchy was walked instead.
    case cgroupEventsLost = "cgroup_events_lost"
    /// The watch reported a pod as it was before its end.
    case outdatedPodEvent = "outdated_pod_event"
    /// Programs of others appeared at the hooks of the agent.
    case otherPrograms = "other_programs"
    /// A connection could not be accepted: no descriptors, no memory.
    case acceptFailed = "accept_failed"
    /// No space for the admin socket.
    case adminSocketFailed = "admin_socket_failed"
    /// Other processes hold the agent's ports in the node's network namespace: pods with the host's network are refused
    /// until one is free.
    case portHeld = "port_held"
    /// No listener could be opened in a pod's network namespace.
    case namespaceFailed = "namespace_failed"
    /// A pod has as many network namespaces as it may have, or the node has: connections in another were refused.
    case namespaceRefused = "namespace_refused"
    /// A listening socket of the agent's was ended from outside, by a process with rights over its network namespace.
    case listenerEnded = "listener_ended"
    /// The socket of `metrics.port` cannot be bound: metrics are not served until it can.
    case metricsPortFailed = "metrics_port_failed"
    /// Hooks ran the programs of a successor that ended before it served, and run the agent's again.
    case hooksReclaimed = "hooks_reclaimed"
    /// Another process removed the nftables table of the host guard, and it is back.
    case hostGuardRestored = "host_guard_restored"
    /// The container's first process does not have the listening sockets that it is to keep: it reads nothing, or has ended.
    case supervisorBehind = "supervisor_behind"
    /// The agent was started again by the container's first process, after it had ended without being told to.
    case restarted
}
