import MetadataProtocol
import Text
import Tokens

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Temporary credentials as AWS's endpoints write them.
///
/// `Expiration` is counted by this machine's clock, which is what a client in a pod of it compares with.
struct AWSCredentialDocument {
    private let credentials: AWSSessionCredentials
    private let now: Int
    private let end: Int

    init?(_ token: ServedToken, now: Int = time(nil)) {
        guard let credentials = AWSSessionCredentials(token.token) else { return nil }
        self.credentials = credentials
        self.now = now
        self.end = now + token.expiresIn
    }

    /// Every member that some SDK insists on.
    func instanceMetadata(accountID: String?) -> SecretToken {
        document(
            [
                ("Code", "Success"), ("LastUpdated", CivilTime(secondsSince1970: now).rfc3339), ("Type", "AWS-HMAC"),
                ("AccessKeyId", credentials.accessKeyID.exposed),
                ("SecretAccessKey", credentials.secretAccessKey.exposed), ("Token", credentials.sessionToken.exposed),
                ("Expiration", CivilTime(secondsSince1970: end).rfc3339),
            ] + (accountID.map { [("AccountId", $0)] } ?? []))
    }

    func container(accountID: String) -> SecretToken {
        document([
            ("AccessKeyId", credentials.accessKeyID.exposed),
            ("SecretAccessKey", credentials.secretAccessKey.exposed), ("Token", credentials.sessionToken.exposed),
            ("Expiration", CivilTime(secondsSince1970: end).rfc3339), ("AccountId", accountID),
        ])
    }

    private func document(_ members: [(name: String, value: String)]) -> SecretToken {
        var text = ""
        for member in members {
            text += text.isEmpty ? "{" : ","
            text.appendQuoted(member.name)
            text += ":"
            text.appendQuoted(member.value)
        }
        return SecretToken(text + "}")
    }
}
