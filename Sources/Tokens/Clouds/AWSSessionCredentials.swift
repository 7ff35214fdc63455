/// The three strings of temporary AWS credentials, kept by the token core as one secret.
package struct AWSSessionCredentials: Sendable, Hashable {
    package let accessKeyID: SecretToken
    package let secretAccessKey: SecretToken
    package let sessionToken: SecretToken

    package init(accessKeyID: String, secretAccessKey: String, sessionToken: String) {
        self.accessKeyID = SecretToken(accessKeyID)
        self.secretAccessKey = SecretToken(secretAccessKey)
        self.sessionToken = SecretToken(sessionToken)
    }

    /// Reads what ``token`` wrote.
    package init?(_ token: SecretToken) {
        let parts = token.exposed.split(separator: Self.separator, omittingEmptySubsequences: false)
        guard parts.count == 3 else { return nil }
        self.init(
            accessKeyID: String(parts[0]), secretAccessKey: String(parts[1]), sessionToken: String(parts[2]))
    }

    package var token: SecretToken {
        SecretToken(
            [accessKeyID, secretAccessKey, sessionToken].map(\.exposed).joined(separator: String(Self.separator)))
    }

    /// A character that none of the three has: their alphabet is base64's.
    private static let separator: Character = " "
}
