import Attribution
import MetadataProtocol
import NIOCore
import NIOHTTP1
import UpstreamHTTP

/// Google's STS and IAM Credentials, which verify what they are given.
extension World {
    static let provider =
        "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/simulation/providers/cluster"

    func answerOfSTS(_ call: UpstreamCall) -> UpstreamResponse {
        let fields = WireText.fields(Substring(call.body.map { String(buffer: $0) } ?? ""))
        guard let subject = fields["subject_token"].flatMap({ grants[$0] }), subject.kind == .subject,
            subject.purpose == Self.subjectAudience
        else {
            violated(.ownToken, "STS was asked with a token that is no subject token")
            return sts("invalid_grant", "not a subject token")
        }
        // STS knows no time but its own: a JWT of the future is not valid yet.
        if has(.apiClockAhead) { return sts("invalid_grant", "the token \(Self.echo(of: call)) is of the future") }
        let left = (subject.end - now) / .seconds(1)
        guard left >= 1 else { return sts("invalid_grant", "the token \(Self.echo(of: call)) has expired") }
        let seconds = min(3_600, Int(left))
        var grant = subject
        grant.kind = .federated
        grant.purpose = fields["scope"] ?? ""
        grant.end = now + .seconds(seconds)
        let token = give(grant)
        return answer(
            200,
            #"{"access_token":"\#(token)","issued_token_type":"urn:ietf:params:oauth:token-type:access_token","#
                + #""token_type":"Bearer","expires_in":\#(seconds)}"#, of: .securityTokenService)
    }

    private func sts(_ code: String, _ text: String) -> UpstreamResponse {
        answer(400, #"{"error":"\#(code)","error_description":"\#(text)"}"#, of: .securityTokenService)
    }

    func answerOfIAM(_ call: UpstreamCall) -> UpstreamResponse {
        let method = call.url.utf8.split(separator: UInt8(ascii: "/")).last?.split(separator: UInt8(ascii: ":")) ?? []
        guard method.count == 2, let bearer = call.headers.first(name: "authorization")?.dropFirst(7),
            let federated = grants[String(bearer)], federated.kind == .federated
        else {
            violated(.ownToken, "IAM was asked without a federated token")
            return iam(401, "UNAUTHENTICATED")
        }
        guard federated.end > now, !federated.isRevoked else { return iam(401, "UNAUTHENTICATED") }
        let email = String(Substring(method[0])).replacing("%40", with: "@")
        guard email.hasPrefix("bound-") else {
            return iam(403, "iam.serviceAccounts.getAccessToken denied to \(Self.echo(of: call))")
        }
        guard let body = call.body, let request = WireJSON(Array(body.readableBytesView)) else {
            return iam(400, "bad request")
        }
        var grant = federated
        grant.email = email
        grant.end = now + .seconds(3_600)
        if method[1].elementsEqual("generateAccessToken".utf8) {
            grant.kind = .access
            grant.purpose = (request["scope"]?.texts ?? []).joined(separator: " ")
            let time = CivilTime(secondsSince1970: Int(iamTime + 3_600)).rfc3339
            return answer(
                200, #"{"accessToken":"\#(give(grant))","expireTime":"\#(time)"}"#, of: .iamCredentials)
        }
        grant.kind = .identity
        let audience = request["audience"]?.text ?? ""
        grant.purpose = audience
        let end = iamTime + 3_600
        let token = give(grant) { serial in
            #"{"aud":"\#(audience)","email":"\#(email)","exp":\#(end),"jti":"id-\#(serial)"}"#
        }
        return answer(200, #"{"token":"\#(token)"}"#, of: .iamCredentials)
    }

    private func iam(_ code: Int, _ text: String) -> UpstreamResponse {
        answer(code, #"{"error":{"code":\#(code),"message":"\#(text)"}}"#, of: .iamCredentials)
    }
}
