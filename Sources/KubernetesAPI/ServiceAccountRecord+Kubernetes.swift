import Tokens
import UpstreamHTTP

extension ServiceAccountRecord {
    private static let googleServiceAccountKey = "iam.gke.io/gcp-service-account"
    private static let principalAsEmailKey = "iam.gke.io/return-principal-id-as-email"
    private static let quotaProjectKey = "iam.gke.io/credential-quota-project"

    /// The fields of a ServiceAccount that the agent uses. A tenant who may change one may fill the others.
    static func mask(adding annotations: [String]) -> FieldMask {
        .members([
            "metadata": .members([
                "name": .scalar, "namespace": .scalar, "uid": .scalar,
                "annotations": .scalars([googleServiceAccountKey, principalAsEmailKey, quotaProjectKey] + annotations),
            ])
        ])
    }

    /// Reads `v1/ServiceAccount`. An annotation with an empty value counts as absent, as it does on GKE.
    /// `annotations` are those that other clouds read.
    init(
        _ reading: UpstreamReading<ObjectReader>, expected: ServiceAccountReference, annotations: [String]
    ) throws(UpstreamFailure) {
        let answer = reading.answer
        guard let metadata = Metadata(reading.node) else {
            throw .unusable(answer, "the answer is no ServiceAccount")
        }
        guard metadata.namespace == expected.namespace, metadata.name == expected.name, !metadata.uid.isEmpty else {
            throw .unusable(answer, "the API server answered with another ServiceAccount than \(expected)")
        }
        func annotation(_ key: String) -> String? {
            metadata.annotations?[key].flatMap { $0.isEmpty ? nil : $0 }
        }
        self.init(
            namespace: metadata.namespace,
            name: metadata.name,
            uid: metadata.uid,
            googleServiceAccount: annotation(Self.googleServiceAccountKey),
            returnsPrincipalAsEmail: annotation(Self.principalAsEmailKey) == "true",
            quotaProject: annotation(Self.quotaProjectKey),
            annotations: Dictionary(annotations.compactMap { key in annotation(key).map { (key, $0) } }) { $1 }
        )
    }

    private struct Metadata {
        var name: String
        var namespace: String
        var uid: String
        var annotations: [String: String]?

        init?(_ node: JSONNode?) {
            do throws(JSONNode.Mismatch) {
                guard let metadata = try node?.member("metadata"), let name = try metadata.text("name"),
                    let namespace = try metadata.text("namespace"), let uid = try metadata.text("uid")
                else { return nil }
                (self.name, self.namespace, self.uid) = (name, namespace, uid)
                annotations = try metadata.texts("annotations")
            } catch {
                return nil
            }
        }
    }
}
