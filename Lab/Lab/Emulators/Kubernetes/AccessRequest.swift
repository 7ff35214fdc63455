import Foundation

/// The right that a request asks for, in the terms of authorization (Kubernetes' `RequestInfo`).
struct AccessRequest: Sendable, Equatable {
    var verb: String
    var group = ""
    var version = ""
    var namespace: String?
    var resource = ""
    var subresource: String?
    var name = ""
    /// The decoded path; the only thing that counts for requests that are not about a resource.
    var path: String
    var isResource = false
    /// The deprecated `/api/v1/watch/...`, which the Node authorizer never allows.
    var isWatchPath = false

    var qualifiedResource: String { subresource.map { "\(resource)/\($0)" } ?? resource }

    /// Reads method and path. `isWatch` is the query's `watch=true`.
    init(method: String, path: String, isWatch: Bool = false) {
        self.path = path
        var parts = path.split(separator: "/").map { $0.removingPercentEncoding ?? String($0) }
        verb = method.lowercased()
        switch parts.first {
        case "api" where parts.count > 2:
            version = parts[1]
            parts.removeFirst(2)
        case "apis" where parts.count > 3:
            group = parts[1]
            version = parts[2]
            parts.removeFirst(3)
        default: return
        }
        isResource = true
        if parts.first == "watch" {
            isWatchPath = true
            parts.removeFirst()
        }
        if parts.first == "namespaces", parts.count > 1 {
            namespace = parts[1]
            if parts.count > 2 { parts.removeFirst(2) }
        }
        resource = parts.first ?? ""
        name = parts.count > 1 ? parts[1] : ""
        subresource = parts.count > 2 ? parts[2...].joined(separator: "/") : nil
        verb = Self.verb(method: method, isCollection: name.isEmpty, isWatch: isWatch || isWatchPath)
    }

    private static func verb(method: String, isCollection: Bool, isWatch: Bool) -> String {
        switch method {
        case "GET", "HEAD": isWatch ? "watch" : isCollection ? "list" : "get"
        case "POST": "create"
        case "PUT": "update"
        case "PATCH": "patch"
        case "DELETE": isCollection ? "deletecollection" : "delete"
        default: method.lowercased()
        }
    }

    /// The 403 of the authorization chain, with the reason that one of the authorizers gave, if any.
    func forbidden(_ user: KubernetesUser, reason: String? = nil) -> KubernetesStatus {
        let suffix = reason.map { ": \($0)" } ?? ""
        guard isResource else {
            return .forbidden("", "", "User \"\(user.name)\" cannot \(verb) path \"\(path)\"\(suffix)")
        }
        let scope = namespace.map { "in the namespace \"\($0)\"" } ?? "at the cluster scope"
        return .forbidden(
            resource,
            name,
            group: group,
            "User \"\(user.name)\" cannot \(verb) resource \"\(qualifiedResource)\" in API group \"\(group)\" "
                + scope + suffix
        )
    }
}
