/// A failure as the Kubernetes API answers it: a `v1.Status` object and its HTTP status.
package struct KubernetesStatus: Error, Sendable, Equatable {
    package var code: Int
    package var reason: String
    package var message: String
    package var details: JSON?
    package var retryAfterSeconds: Int?

    package init(
        code: Int, reason: String, message: String, details: JSON? = nil, retryAfterSeconds: Int? = nil
    ) {
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details
        self.retryAfterSeconds = retryAfterSeconds
    }

    /// The `v1.Status` object.
    package var json: JSON {
        [
            "kind": "Status", "apiVersion": "v1", "metadata": [:], "status": "Failure",
            "message": .string(message), "reason": .string(reason), "details": details, "code": .integer(Int64(code)),
        ]
    }

    /// The refusal without authentication: the same body for every cause.
    static let unauthorized = KubernetesStatus(code: 401, reason: "Unauthorized", message: "Unauthorized")

    static func badRequest(_ message: String) -> KubernetesStatus {
        KubernetesStatus(code: 400, reason: "BadRequest", message: message)
    }

    /// A refusal that names a resource, by admission or (through ``AccessRequest``) by authorization.
    static func forbidden(_ resource: String, _ name: String, group: String = "", _ why: String) -> KubernetesStatus {
        let qualified = group.isEmpty ? resource : "\(resource).\(group)"
        let subject = qualified.isEmpty ? "" : name.isEmpty ? "\(qualified) is " : "\(qualified) \"\(name)\" is "
        return KubernetesStatus(
            code: 403,
            reason: "Forbidden",
            message: "\(subject)forbidden: \(why)",
            details: details(name: name, group: group, kind: resource)
        )
    }

    static func notFound(_ resource: String, _ name: String) -> KubernetesStatus {
        KubernetesStatus(
            code: 404,
            reason: "NotFound",
            message: "\(resource) \"\(name)\" not found",
            details: details(name: name, kind: resource)
        )
    }

    static func conflict(_ kind: String, _ name: String, group: String = "", _ why: String) -> KubernetesStatus {
        let qualified = group.isEmpty ? kind : "\(kind).\(group)"
        return KubernetesStatus(
            code: 409,
            reason: "Conflict",
            message: "Operation cannot be fulfilled on \(qualified) \"\(name)\": \(why)",
            details: details(name: name, group: group, kind: kind)
        )
    }

    /// One invalid field of a TokenRequest.
    static func invalidTokenRequest(name: String = "", field: String, value: String, _ why: String) -> KubernetesStatus
    {
        let cause = "Invalid value: \(value): \(why)"
        let members: JSON = [
            "name": name.isEmpty ? nil : .string(name), "group": "authentication.k8s.io", "kind": "TokenRequest",
            "causes": [
                ["reason": "FieldValueInvalid", "message": .string(cause), "field": .string(field)]
            ],
        ]
        return KubernetesStatus(
            code: 422,
            reason: "Invalid",
            message: "TokenRequest.authentication.k8s.io \"\(name)\" is invalid: \(field): \(cause)",
            details: members
        )
    }

    /// The resourceVersion was compacted away, or precedes the start of the watch cache.
    static func expired(_ message: String) -> KubernetesStatus {
        KubernetesStatus(code: 410, reason: "Expired", message: message)
    }

    private static func details(name: String, group: String = "", kind: String) -> JSON {
        [
            "name": name.isEmpty ? nil : .string(name), "group": group.isEmpty ? nil : .string(group),
            "kind": kind.isEmpty ? nil : .string(kind),
        ]
    }
}
