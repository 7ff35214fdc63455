import Foundation

/// The Node authorizer, and of RBAC what nodes, ServiceAccounts and administrators get by default.
extension ClusterState {
    /// Throws the 403 that the API server answers, or returns.
    func authorize(
        _ user: KubernetesUser, _ request: AccessRequest, selector: PodSelector?, now: Date
    ) throws(KubernetesStatus) {
        if user.isAdministrator { return }
        if !request.isResource {
            guard allowsPath(request.path, user) else { throw request.forbidden(user) }
            return
        }
        if Self.isOpenToEveryone(request), !user.groups.contains("system:unauthenticated") { return }
        if isGranted(user, request) { return }
        guard let node = user.nodeName else { throw request.forbidden(user) }
        try authorize(node: node, as: user, request, selector: selector, now: now)
    }

    private func isGranted(_ user: KubernetesUser, _ request: AccessRequest) -> Bool {
        grants.contains {
            $0.allows(
                user, verb: request.verb, group: request.group, resource: request.qualifiedResource,
                name: request.name, namespace: request.namespace)
        }
    }

    private func allowsPath(_ path: String, _ user: KubernetesUser) -> Bool {
        switch path {
        case "/apis/certificates.k8s.io/v1", "/apis/certificates.k8s.io/v1beta1":
            // `system:discovery`: everybody who is authenticated.
            !user.groups.contains("system:unauthenticated")
        case "/readyz", "/livez", "/healthz", "/version": true
        case "/.well-known/openid-configuration", "/openid/v1/jwks":
            // `system:service-account-issuer-discovery`: ServiceAccounts, never nodes.
            user.isServiceAccount || (options.allowsAnonymousDiscovery && user == .anonymous)
        default: false
        }
    }

    /// `system:basic-user`: what every authenticated user may create about itself; and what it may read
    /// (`system:cluster-trust-bundle-discovery`).
    private static func isOpenToEveryone(_ request: AccessRequest) -> Bool {
        if request.resource == "clustertrustbundles" { return ["get", "list", "watch"].contains(request.verb) }
        return request.verb == "create"
            && ["selfsubjectreviews", "selfsubjectaccessreviews"].contains(request.resource)
    }

    private func authorize(
        node: String, as user: KubernetesUser, _ request: AccessRequest, selector: PodSelector?, now: Date
    ) throws(KubernetesStatus) {
        switch (request.group, request.qualifiedResource, request.verb) {
        case ("", "pods", "list"), ("", "pods", "watch"):
            if !request.isWatchPath, selector?.required("spec.nodeName") == node { return }
            if !request.isWatchPath, let namespace = request.namespace, let name = selector?.required("metadata.name") {
                var named = request
                named.name = name
                try requirePod(LabPod.Key(namespace, name), on: node, as: user, named, now: now)
                return
            }
            throw request.forbidden(user, reason: "can only list/watch pods with spec.nodeName field selector")
        case ("", "pods", "get"):
            try requirePod(LabPod.Key(request.namespace ?? "", request.name), on: node, as: user, request, now: now)
        case ("", "serviceaccounts", "get"):
            guard options.nodesReadServiceAccounts else {
                throw request.forbidden(user, reason: "not allowed to get service accounts")
            }
            try requireServiceAccount(on: node, as: user, request, now: now)
        case ("", "serviceaccounts/token", "create"):
            try requireServiceAccount(on: node, as: user, request, now: now)
        case ("", "serviceaccounts", "list"), ("", "serviceaccounts", "watch"):
            throw request.forbidden(user, reason: "can only create tokens for individual service accounts")
        case ("", "nodes", "get"), ("", "nodes", "list"), ("", "nodes", "watch"):
            let name = request.name.isEmpty ? selector?.required("metadata.name") ?? "" : request.name
            guard name != node else { return }
            let what = name.isEmpty ? "all nodes" : "'\(name)'"
            throw request.forbidden(user, reason: "node '\(node)' cannot read \(what), only its own Node object")
        case ("certificates.k8s.io", "podcertificaterequests", "create"):
            return
        case ("certificates.k8s.io", "podcertificaterequests", "list"),
            ("certificates.k8s.io", "podcertificaterequests", "watch"):
            guard selector?.required("spec.nodeName") == node else {
                throw request.forbidden(
                    user, reason: "can only list/watch podcertificaterequests with spec.nodeName field selector")
            }
        case ("", "events", "create"), ("", "events", "patch"), ("events.k8s.io", "events", "create"),
            ("authentication.k8s.io", "tokenreviews", "create"),
            ("authorization.k8s.io", "subjectaccessreviews", "create"):
            return
        default:
            throw request.forbidden(user)
        }
    }

    private func requirePod(
        _ key: LabPod.Key, on node: String, as user: KubernetesUser, _ request: AccessRequest, now: Date
    ) throws(KubernetesStatus) {
        guard now >= relationshipsKnownFrom, pods[key]?.nodeName == node else {
            throw request.forbidden(user, reason: Self.noRelationship(node))
        }
    }

    /// Some pod bound to the node uses the ServiceAccount. Whether the ServiceAccount exists makes no difference.
    private func requireServiceAccount(
        on node: String, as user: KubernetesUser, _ request: AccessRequest, now: Date
    ) throws(KubernetesStatus) {
        let isUsed = pods.values.contains { pod in
            pod.nodeName == node && pod.namespace == request.namespace && pod.serviceAccountName == request.name
        }
        guard now >= relationshipsKnownFrom, isUsed, !request.name.isEmpty else {
            throw request.forbidden(user, reason: Self.noRelationship(node))
        }
    }

    private static func noRelationship(_ node: String) -> String {
        "no relationship found between node '\(node)' and this object"
    }
}
