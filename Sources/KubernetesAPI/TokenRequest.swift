import Attribution
import FoundationEssentials
import Text
import Tokens
import UpstreamHTTP

/// `authentication.k8s.io/v1 TokenRequest`: one token for one audience, bound to one pod by name and UID.
struct TokenRequest {
    let pod: PodRecord
    /// Pins the ServiceAccount that was read before; empty: not known, not pinned.
    let serviceAccountUID: String
    let audience: String
    let expirationSeconds: Int

    var body: [UInt8] {
        func text(_ value: String) -> String {
            var quoted = ""
            quoted.appendQuoted(value)
            return quoted
        }
        let metadata = serviceAccountUID.isEmpty ? "" : #""metadata":{"uid":\#(text(serviceAccountUID))},"#
        let reference = #"{"apiVersion":"v1","kind":"Pod","name":\#(text(pod.name)),"uid":"\#(pod.uid)"}"#
        let json =
            #"{"apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest",\#(metadata)"#
            + #""spec":{"audiences":[\#(text(audience))],"boundObjectRef":\#(reference),"#
            + #""expirationSeconds":\#(expirationSeconds)}}"#
        return Array(json.utf8)
    }

    /// The token of a 201, after making sure that it is the one that was asked for: both what the server says about
    /// it and the claims inside name this pod, this ServiceAccount and this audience.
    func token(from answer: UpstreamResponse) throws(UpstreamFailure) -> SubjectToken {
        guard let wire = try? JSONDecoder().decode(Answer.self, from: Data(answer.body)) else {
            throw .unusable(answer, "the answer to a TokenRequest is not one: not the JSON that was expected")
        }
        let bound = wire.spec.boundObjectRef
        guard bound.kind == "Pod", bound.name == pod.name, bound.uid == pod.uid.description,
            wire.metadata.namespace == pod.namespace, wire.metadata.name == pod.serviceAccountName,
            wire.spec.audiences == [audience]
        else {
            throw .unusable(answer, "the API server answered with a token for something else than what was asked")
        }
        guard isPlausibleToken(wire.status.token), let claims = JWTClaims.decode(Claims.self, from: wire.status.token),
            claims.aud == [audience],
            claims.sub == "system:serviceaccount:\(pod.namespace):\(pod.serviceAccountName)",
            claims.kubernetes.namespace == pod.namespace,
            claims.kubernetes.pod?.uid == pod.uid.description,
            serviceAccountUID.isEmpty || claims.kubernetes.serviceaccount.uid == serviceAccountUID
        else {
            throw .unusable(answer, "the API server's token does not say that it is for this pod")
        }
        guard let end = UnixInstant(rfc3339: wire.status.expirationTimestamp) else {
            throw .unusable(answer, "the answer to a TokenRequest has no usable expirationTimestamp")
        }
        let lifetime = end - (answer.date ?? .now())
        guard lifetime > .zero else { throw .unusable(answer, "the API server's token has expired already") }
        return SubjectToken(token: SecretToken(wire.status.token), lifetime: lifetime, id: claims.jti)
    }
}

extension TokenRequest {
    private struct Answer: Decodable {
        var metadata: Metadata
        var spec: Spec
        var status: Status

        struct Metadata: Decodable {
            var name: String
            var namespace: String
        }

        struct Spec: Decodable {
            var audiences: [String]
            var boundObjectRef: Reference
        }

        struct Reference: Decodable {
            var kind: String
            var name: String
            var uid: String
        }

        struct Status: Decodable {
            var token: String
            var expirationTimestamp: String
        }
    }

    /// The claims of a pod-bound ServiceAccount token (KEP-1205).
    private struct Claims: Decodable {
        var aud: [String]
        var sub: String
        var jti: String?
        var kubernetes: Kubernetes

        enum CodingKeys: String, CodingKey {
            case aud, sub, jti
            case kubernetes = "kubernetes.io"
        }

        struct Kubernetes: Decodable {
            var namespace: String
            var pod: Object?
            var serviceaccount: Object
        }

        struct Object: Decodable {
            var uid: String
        }
    }
}
