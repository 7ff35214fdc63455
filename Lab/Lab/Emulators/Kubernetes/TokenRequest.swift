import Foundation

/// The body of `POST .../serviceaccounts/NAME/token`, decoded as the API server decodes it.
struct TokenRequest: Sendable, Equatable {
    struct ObjectReference: Sendable, Equatable {
        var apiVersion: String
        var kind: String
        var name: String
        var uid: String
    }

    var name = ""
    var namespace = ""
    var uid = ""
    var audiences: [String] = []
    /// Seconds; an absent value becomes the API's default of one hour.
    var expirationSeconds: Int64 = 3600
    var boundObjectRef: ObjectReference?
    /// Fields that the type does not have: ignored, with a warning for each.
    var unknownFields: [String] = []

    /// Throws the 400 for bodies that are not a TokenRequest.
    init(parsing bytes: some Sequence<UInt8>) throws(KubernetesStatus) {
        let json: JSON
        do {
            json = try JSON(parsing: bytes)
        } catch {
            throw .badRequest(
                "the object provided is unrecognized (must be of type TokenRequest): couldn't get version/kind; "
                    + "json parse error: invalid character in literal"
            )
        }
        guard json.members != nil else {
            throw .badRequest(
                "the object provided is unrecognized (must be of type TokenRequest): couldn't get version/kind; "
                    + "json parse error: json: cannot unmarshal \(json.goKind) into Go value of type struct"
            )
        }
        unknownFields = Self.unknownFields(of: json)
        let metadata = json["metadata"] ?? [:]
        name = try metadata.text("name", at: "ObjectMeta.metadata.name")
        namespace = try metadata.text("namespace", at: "ObjectMeta.metadata.namespace")
        uid = try metadata.text("uid", at: "ObjectMeta.metadata.uid")
        try readSpec(json["spec"] ?? [:])
    }

    private mutating func readSpec(_ spec: JSON) throws(KubernetesStatus) {
        switch spec["audiences"] {
        case nil, .null?: break
        case let value?:
            guard let strings = value.strings else {
                throw value.cannotUnmarshal(into: "TokenRequestSpec.spec.audiences", type: "[]string")
            }
            audiences = strings
        }
        switch spec["expirationSeconds"] {
        case nil, .null?: break
        case .integer(let seconds)?: expirationSeconds = seconds
        case let value?:
            throw value.cannotUnmarshal(into: "TokenRequestSpec.spec.expirationSeconds", type: "int64")
        }
        if let reference = spec["boundObjectRef"], reference != .null {
            boundObjectRef = ObjectReference(
                apiVersion: try reference.text("apiVersion", at: "BoundObjectReference.spec.boundObjectRef.apiVersion"),
                kind: try reference.text("kind", at: "BoundObjectReference.spec.boundObjectRef.kind"),
                name: try reference.text("name", at: "BoundObjectReference.spec.boundObjectRef.name"),
                uid: try reference.text("uid", at: "BoundObjectReference.spec.boundObjectRef.uid")
            )
        }
    }

    private static func unknownFields(of json: JSON) -> [String] {
        let known: [(path: String, names: Set<String>)] = [
            ("", ["apiVersion", "kind", "metadata", "spec", "status"]),
            ("spec", ["audiences", "boundObjectRef", "expirationSeconds"]),
            ("spec.boundObjectRef", ["apiVersion", "kind", "name", "uid"]),
        ]
        return known.flatMap { path, names in
            let object = path.split(separator: ".").reduce(Optional(json)) { $0?[String($1)] }
            let unknown = (object?.members ?? []).map(\.name).filter { !names.contains($0) }
            return unknown.map { path.isEmpty ? $0 : "\(path).\($0)" }
        }
    }
}

extension JSON {
    /// The member `name` as text; absent and null are empty.
    fileprivate func text(_ name: String, at path: String) throws(KubernetesStatus) -> String {
        switch self[name] {
        case nil, .null?: return ""
        case .string(let value)?: return value
        case let value?: throw value.cannotUnmarshal(into: path, type: "string")
        }
    }

    fileprivate func cannotUnmarshal(into field: String, type: String) -> KubernetesStatus {
        .badRequest(
            "TokenRequest in version \"v1\" cannot be handled as a TokenRequest: json: cannot unmarshal \(goKind) "
                + "into Go struct field \(field) of type \(type)"
        )
    }

    /// The name that Go's decoder gives the value in its errors.
    fileprivate var goKind: String {
        switch self {
        case .null: "null"
        case .bool: "bool"
        case .integer(let value): "number \(value)"
        case .number(let value): "number \(value)"
        case .string: "string"
        case .array: "array"
        case .object: "object"
        case .written: "value"
        }
    }
}
