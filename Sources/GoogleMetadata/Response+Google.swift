import MetadataProtocol
import Text
import Tokens

extension Response {
    /// A single value, with the entity tag that `wait_for_change` compares.
    static func value(_ text: String, _ contentType: ContentType) -> Response {
        Response(.ok, contentType, .text(text), etag: EntityTag.of(text))
    }

    static func redirect(to location: String) -> Response {
        Response(.movedPermanently, .text, .text(location), location: location)
    }

    /// The three members that clients insist on: `expires_in` an integer, `token_type` present.
    static func accessToken(_ token: ServedToken) -> Response {
        Response(.ok, .json, .document(TokenDocument(#"{"access_token":"#, token, #","token_type":"Bearer"}"#)))
    }

    /// The bare JWT.
    static func identityToken(_ token: ServedToken) -> Response {
        Response(.ok, .text, .secret(token.token))
    }

    /// The bare JWT, or with `alt=json` the JWT and the whole seconds that it still lives.
    static func podToken(_ token: ServedToken, _ alternative: RequestQuery.Alternative?) -> Response {
        guard alternative == .json else { return Response(.ok, .jwt, .secret(token.token)) }
        return Response(.ok, .json, .document(TokenDocument(#"{"token":"#, token, "}")))
    }
}

/// The entity tag of a value: equal for equal content, on every node and across restarts.
enum EntityTag {
    /// 16 hexadecimal digits.
    static func of(_ text: String) -> String {
        let digits = String(text.stableHash, radix: 16)
        return String(repeating: "0", count: 16 - digits.utf8.count) + digits
    }
}
