import FoundationEssentials
import TokenExchange
import Tokens
import UpstreamHTTP

/// The wire of AWS STS `AssumeRoleWithWebIdentity`, version 2011-06-15.
struct WebIdentityRole: Sendable {
    let role: AWSRoleARN
    let sessionName: RoleSessionName
    /// `system:serviceaccount:NAMESPACE:NAME`.
    let subject: String
    let audience: String
    let seconds: Int

    func form(_ subject: SubjectToken) -> String {
        PercentEncoding.form([
            "Action": "AssumeRoleWithWebIdentity",
            "Version": "2011-06-15",
            "RoleArn": role.text,
            "RoleSessionName": sessionName.text,
            "DurationSeconds": String(seconds),
            "WebIdentityToken": subject.token.exposed,
        ])
    }

    /// The credentials of a 200, after making sure that they are for the role, the session and the subject that were
    /// asked for.
    func token(from answer: UpstreamResponse, cloud: CloudName) throws(UpstreamFailure) -> UpstreamToken {
        func unusable(_ problem: String) -> UpstreamFailure { .unusable(.cloud(cloud), answer, problem) }
        guard let document = XMLElement(document: answer.body), document.name == "AssumeRoleWithWebIdentityResponse",
            let result = document.only("AssumeRoleWithWebIdentityResult"), let credentials = result.only("Credentials")
        else { throw unusable("the answer is no AssumeRoleWithWebIdentityResponse: not the XML that was expected") }
        guard let accessKey = credentials.only("AccessKeyId")?.text,
            let secret = credentials.only("SecretAccessKey")?.text,
            let session = credentials.only("SessionToken")?.text,
            [accessKey, secret, session].allSatisfy(isPlausibleToken)
        else { throw unusable("the credentials lack a part, or one has characters that no credential has") }
        guard result.only("AssumedRoleUser", "Arn")?.text == assumedRole else {
            throw unusable("the credentials are for another role or session than was asked for")
        }
        guard result.only("SubjectFromWebIdentityToken")?.text == self.subject else {
            throw unusable("the credentials are for another subject than the pod's ServiceAccount")
        }
        if let audience = result.only("Audience")?.text, audience != self.audience {
            throw unusable("the credentials are for another audience than the one that was asked for")
        }
        guard let end = credentials.only("Expiration").flatMap({ UnixInstant(rfc3339: $0.text) }) else {
            throw unusable("the credentials' Expiration is no RFC 3339 time")
        }
        let lifetime = end - (answer.date ?? .now())
        guard lifetime > .zero else { throw unusable("the credentials have expired already") }
        let token = AWSSessionCredentials(
            accessKeyID: accessKey, secretAccessKey: secret, sessionToken: session
        ).token
        return UpstreamToken(token: token, lifetime: min(lifetime, .seconds(seconds)))
    }

    /// An assumed role's ARN has no path.
    private var assumedRole: String {
        "arn:\(role.partition):sts::\(role.accountID):assumed-role/\(role.roleName)/\(sessionName.text)"
    }

    /// Sorts an answer that is no success by its code, never by its status: STS answers 400 to what passes and to what
    /// does not.
    static func failure(from answer: UpstreamResponse, cloud: CloudName) -> UpstreamFailure {
        let error = XMLElement(document: answer.body)?.only("Error")
        guard answer.status < 500, let code = error?.only("Code")?.text, !code.isEmpty else {
            return UpstreamFailure(
                upstream: .cloud(cloud), kind: answer.status == 429 ? .rateLimited : .unavailable,
                status: answer.status, message: answer.bodyText.isEmpty ? "HTTP \(answer.status)" : answer.bodyText,
                retryAfter: answer.retryAfter())
        }
        let kind: UpstreamFailure.Kind =
            switch code {
            case "IDPCommunicationError", "InternalFailure", "ServiceUnavailable", "RequestTimeout": .unavailable
            case "Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequestsException": .rateLimited
            case "InvalidIdentityToken", "ExpiredTokenException", "ExpiredToken": .staleSubjectToken
            case "AccessDenied", "IDPRejectedClaim": .denied
            // RegionDisabledException, ValidationError, MalformedPolicyDocument, PackedPolicyTooLarge, and what is new.
            default: .misconfigured
            }
        let message = error?.only("Message")?.text ?? ""
        return UpstreamFailure(
            upstream: .cloud(cloud), kind: kind, status: answer.status,
            message: UpstreamText.clean(message.isEmpty ? code : "\(code): \(message)"), retryAfter: answer.retryAfter()
        )
    }
}
