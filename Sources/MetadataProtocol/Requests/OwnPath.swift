/// Paths of podidentd's own, outside every cloud's tree and in no listing of one.
package enum OwnPath {
    /// Gives a pod its own Kubernetes JWT for a relying party that is no cloud: a secrets manager that shall know
    /// which pod asks, without a secret shared beforehand.
    ///
    /// `GET /podidentd/v1/token?audience=A` with `Metadata-Flavor: Google`, where A is one of the configured audiences.
    /// Answers the bare JWT (`application/jwt`), which is what Vault's `jwt` parameter and every reader of a projected token
    /// file take; with `alt=json` `{"token":"JWT","expires_in":SECONDS}`. The relying party has it verified by the cluster:
    /// by TokenReview, which also knows whether the pod still exists, or with the keys of its discovery document.
    package static let podToken = "/podidentd/v1/token"

    /// Names the pod that the agent takes the caller for.
    ///
    /// `GET /podidentd/v1/pod-uid` with `Metadata-Flavor: Google` answers the UID of the caller's own pod and nothing else,
    /// so that a caller learns nothing about any other pod. The agent proves its readiness by asking itself this question
    /// from its own pod; a person who doubts the attribution can ask it from any pod.
    package static let podUID = "/podidentd/v1/pod-uid"
}
