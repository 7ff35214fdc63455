/// The answers of Google's protocol that are the same for all pods.
package struct GoogleMetadataConfiguration: Sendable, Hashable {
    /// `project/project-id`.
    package var projectID: String
    /// `project/numeric-project-id`: digits only, for gcloud takes any other byte as "not on Google Cloud".
    package var numericProjectID: UInt64
    /// `universe/universe-domain`.
    package var universeDomain: String
    /// The workload identity pool, which is also the email of an account that impersonates no other.
    package var poolName: String
    /// The number of the project that owns the pool; part of `principal://` names.
    package var poolProjectNumber: UInt64
    /// The STS audience, `//iam.googleapis.com/.../providers/NAME` or `identitynamespace:...`; named in error texts.
    package var identityProvider: String
    /// The audience of the subject tokens that the node requests; named in error texts.
    package var subjectTokenAudience: String
    /// The audiences for which a pod may fetch its own Kubernetes JWT at `OwnPath.podToken`. Empty: no pod may, and
    /// the path does not exist.
    package var podTokenAudiences: Set<String>
    /// Whether Google's protocol is served. Without it only the paths of podidentd's own are, and those of other clouds.
    package var servesGoogle: Bool

    package init(
        projectID: String,
        numericProjectID: UInt64,
        universeDomain: String = "googleapis.com",
        poolName: String,
        poolProjectNumber: UInt64? = nil,
        identityProvider: String,
        subjectTokenAudience: String,
        podTokenAudiences: Set<String> = [],
        servesGoogle: Bool = true
    ) {
        self.projectID = projectID
        self.numericProjectID = numericProjectID
        self.universeDomain = universeDomain
        self.poolName = poolName
        self.poolProjectNumber = poolProjectNumber ?? numericProjectID
        self.identityProvider = identityProvider
        self.subjectTokenAudience = subjectTokenAudience
        self.podTokenAudiences = podTokenAudiences
        self.servesGoogle = servesGoogle
    }
}
