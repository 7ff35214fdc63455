import MetadataProtocol
import Tokens

// Refusals that only Google's protocol has, in its words where its server has some.
extension RequestRefusal {
    /// `wait_for_change` where there is no value to wait for.
    static let cannotWait = room(
        RoomRefusal(
            .badRequest, .cannotWait,
            "wait_for_change needs a value: a single entry, or a directory with recursive=true.\n"))

    /// A token for an audience without one.
    static let missingAudience = room(
        RoomRefusal(.badRequest, .missingAudience, "non-empty audience parameter required\n"))

    /// A request without `Metadata-Flavor: Google`, which its sender did not mean for a metadata server.
    static let missingFlavor = room(
        RoomRefusal(.forbidden, .missingFlavor, "Missing required header \"Metadata-Flavor\": \"Google\"\n"))

    /// A POST for a token that is bound to a certificate.
    static let boundTokenNotSupported = room(
        RoomRefusal(
            .methodNotAllowed, .boundTokenNotSupported,
            "POST asks for a token that is bound to a certificate, which this metadata server does not issue. "
                + "Use GET; for google-auth, set GOOGLE_API_ENABLE_RUNTIME_BOUND_TOKEN=false.\n"))

    /// A pod token for an audience that is not configured.
    static func audienceNotConfigured(_ audience: String) -> RequestRefusal {
        room(
            RoomRefusal(
                .forbidden, .audienceNotConfigured,
                "Pod tokens for the audience \"\(audience.prefix(256))\" are not issued on this node. "
                    + "Ask your cluster administrator to add it to podidentd's kubernetes.pod-token-audiences.\n"))
    }

    /// The ServiceAccount's `iam.gke.io/gcp-service-account` is not an email.
    static func badAnnotation(_ account: ServiceAccountReference) -> RequestRefusal {
        room(
            RoomRefusal(
                .badRequest, .badAnnotation,
                "The annotation iam.gke.io/gcp-service-account of your Kubernetes service account (\(account)) "
                    + "is not the email of a Google service account. "
                    + "It must read [GSA_NAME]@[PROJECT_ID].iam.gserviceaccount.com.\n"))
    }
}
