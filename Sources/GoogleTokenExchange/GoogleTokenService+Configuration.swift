extension GoogleTokenService {
    /// The settings of the token exchange: the endpoints to ask, and how.
    package struct Configuration: Sendable {
        /// The Security Token Service. Regional endpoints (`https://sts.REGION.rep.googleapis.com/v1/token`) and other
        /// universes have addresses of their own.
        package var stsURL = "https://sts.googleapis.com/v1/token"
        /// The IAM Credentials API, without a path.
        package var iamCredentialsURL = "https://iamcredentials.googleapis.com"
        /// The provider: `//iam.googleapis.com/projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/ID`,
        /// or `identitynamespace:POOL:PROVIDER` for GKE and fleet pools.
        package var audience: String
        /// PEM file of the authorities to trust instead of the system's.
        package var trustRootsPath: String?
        /// One call, from start to end.
        package var callTimeout = Duration.milliseconds(2500)
        package var userAgent: String

        package init(audience: String, version: String) {
            self.audience = audience
            self.userAgent = "podidentd/\(version)"
        }
    }
}
