import Attribution

extension ConfigurationKey {
    static let podUID = optional(
        "pod-uid", \.podUID, allowed: "a pod's UID", parse: { PodUID($0) },
        """
        The UID of the agent's own pod (downward API: metadata.uid). With it the agent finds the kubepods cgroup from the \
        one that it runs in, or confirms cgroup.kubepods. Leave it out for an agent that runs in no pod.
        """
    )

    static let policies = decoded(
        "policies", \.policies, default: "[]", allowed: "a list of rules",
        decode: { text throws(ConfigurationError) in try PolicyTable(yaml: text) },
        """
        Pods that are not attributed, as a list of rules: the first that matches a pod decides, and a pod that none \
        matches is attributed. A rule has a policy (deny: refused; passthrough: to the machine's own metadata server; \
        attribute: an exception to the rules after it) and at least one of namespace and service-account (each a name, \
        or a list of names) and labels (a label selector), all of which must match. A passthrough rule must name a \
        namespace. For example [{policy: passthrough, \
        namespace: infra, service-account: node-agent, labels: "app=x,tier notin (y, z)"}, {policy: deny, namespace: \
        [kube-system, kube-public]}]; the variable takes the same text. Users who may label pods choose among the rules that look \
        at nothing but labels.
        """
    ).reloadable()
}
