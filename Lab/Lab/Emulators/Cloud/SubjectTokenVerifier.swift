import Foundation

/// Checks a subject token as Google's Security Token Service documents it.
struct SubjectTokenVerifier {
    /// `iat` may be this old.
    private static let maximumAge: TimeInterval = 24 * 3600
    /// Clocks may differ by this much.
    private static let leeway: TimeInterval = 60
    /// The limit of a mapped `google.subject`, in bytes.
    private static let subjectByteLimit = 127

    let provider: WorkloadIdentityProvider
    let now: Date

    /// The token's subject, its identifier and its end.
    struct Verified {
        var subject: LabSubject
        var tokenID: String
        var expires: Date
    }

    func verify(_ text: String) throws(TokenExchangeError) -> Verified {
        guard let token = JSONWebToken(text) else {
            throw .invalidGrant("The subject token is not a valid JSON Web Token.")
        }
        guard token.header["alg"]?.string == "RS256" else {
            throw .invalidGrant("The algorithm of the ID Token is not supported.")
        }
        guard let keyID = token.header["kid"]?.string, let key = provider.keys[keyID] else {
            throw .invalidGrant("Unable to find the public key that matches the key ID of the ID Token.")
        }
        guard token.isSigned(by: key) else { throw .invalidGrant("Invalid signature of the ID Token.") }
        guard token.claims["iss"]?.string == provider.issuer else {
            throw .invalidGrant("The issuer in ID Token does not match the expected issuer.")
        }
        guard let issued = token.date("iat"), let expires = token.date("exp") else {
            throw .invalidGrant("The ID Token lacks iat or exp.")
        }
        guard issued <= now.addingTimeInterval(Self.leeway), now < expires,
            now.timeIntervalSince(issued) <= Self.maximumAge
        else {
            throw .invalidGrant("ID Token issued at \(Timestamp.unix(issued)) is stale to sign-in.")
        }
        guard token.audiences.contains(where: provider.acceptedAudiences.contains) else {
            throw .invalidGrant("The audience in ID Token \(token.audiences) does not match the expected audience.")
        }
        let subject = try subject(of: token.claims)
        guard provider.condition(subject) else {
            throw TokenExchangeError(
                code: "unauthorized_client",
                description: "The given credential is rejected by the attribute condition."
            )
        }
        return Verified(subject: subject, tokenID: token.claims["jti"]?.string ?? "", expires: expires)
    }

    /// The lab's own rule: a token that is not bound to a pod must never get here.
    private func subject(of claims: JSON) throws(TokenExchangeError) -> LabSubject {
        guard let subject = claims["sub"]?.string else { throw .invalidGrant("The ID Token lacks sub.") }
        guard subject.utf8.count <= Self.subjectByteLimit else {
            throw .invalidRequest(
                "The size of mapped attribute google.subject exceeds the \(Self.subjectByteLimit) bytes limit."
            )
        }
        let bound = claims["kubernetes.io"]
        guard let pod = bound?["pod"]?["name"]?.string, let uid = bound?["pod"]?["uid"]?.string,
            let namespace = bound?["namespace"]?.string,
            let account = bound?["serviceaccount"]?["name"]?.string
        else {
            throw TokenExchangeError(
                code: "unauthorized_client",
                description: "The given credential is rejected by the attribute condition: it is bound to no pod."
            )
        }
        return LabSubject(
            subject: subject,
            namespace: namespace,
            serviceAccount: account,
            podName: pod,
            podUID: uid,
            node: bound?["node"]?["name"]?.string
        )
    }
}

/// An OAuth 2.0 error of the token endpoint (RFC 6749, section 5.2).
struct TokenExchangeError: Error, Equatable {
    var status = 400
    var code: String
    var description: String

    static func invalidRequest(_ description: String) -> TokenExchangeError {
        TokenExchangeError(code: "invalid_request", description: description)
    }

    static func invalidGrant(_ description: String) -> TokenExchangeError {
        TokenExchangeError(code: "invalid_grant", description: description)
    }

    var json: JSON { ["error": .string(code), "error_description": .string(description)] }
}
