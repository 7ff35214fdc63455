package import NIOCore
import Text
package import Tokens

/// A JSON object with a token and the whole seconds that it still lives, in pieces: its text as one string would be a copy
/// of the token for every answer.
package struct TokenDocument: Sendable, Hashable {
    /// The text up to the token, whose string follows.
    private let opening: String
    private let string: SecretToken
    private let seconds: String
    /// The text after the number of seconds.
    private let closing: String

    package init(_ opening: String, _ token: ServedToken, _ closing: String) {
        self.opening = opening
        self.string = token.token.isPlainJSON ? token.token : Self.escaped(token.token)
        self.seconds = String(token.expiresIn)
        self.closing = closing
    }

    private static let middle = #"","expires_in":"#

    /// The length in bytes.
    package var length: Int {
        opening.utf8.count + 1 + string.exposed.utf8.count + Self.middle.utf8.count + seconds.utf8.count
            + closing.utf8.count
    }

    package func write(to buffer: inout ByteBuffer) {
        buffer.writeString(opening)
        buffer.writeStaticString("\"")
        buffer.writeString(string.exposed)
        buffer.writeString(Self.middle)
        buffer.writeString(seconds)
        buffer.writeString(closing)
    }

    private static func escaped(_ token: SecretToken) -> SecretToken {
        var text = ""
        text.appendQuoted(token.exposed)
        return SecretToken(String(text.dropFirst().dropLast()))
    }
}
