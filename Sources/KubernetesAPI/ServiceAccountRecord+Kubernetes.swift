import FoundationEssentials
import Tokens
import UpstreamHTTP

extension ServiceAccountRecord {
    /// Reads `v1/ServiceAccount`. An annotation with an empty value counts as absent, as it does on GKE.
    init(_ answer: UpstreamAnswer, expected: ServiceAccountReference) throws(UpstreamFailure) {
        guard let metadata = try? JSONDecoder().decode(Wire.self, from: Data(answer.body)).metadata else {
            throw .unusable(answer, "the answer is no ServiceAccount: \(answer.bodyText)")
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
            googleServiceAccount: annotation("iam.gke.io/gcp-service-account"),
            returnsPrincipalAsEmail: annotation("iam.gke.io/return-principal-id-as-email") == "true",
            quotaProject: annotation("iam.gke.io/credential-quota-project")
        )
    }

    private struct Wire: Decodable {
        var metadata: Metadata

        struct Metadata: Decodable {
            var name: String
            var namespace: String
            var uid: String
            var annotations: [String: String]?
        }
    }
}
