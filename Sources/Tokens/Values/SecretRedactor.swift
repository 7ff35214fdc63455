/// Replaces whatever has the form of a credential in text by `[redacted]`.
///
/// The agent's own types never print a secret. This is the last line of defence for text of others: upstream errors, a
/// plugin's output, log lines, and what a debug bundle carries off the node. Every output uses this one list.
///
/// Forms:
/// - JSON Web Tokens (RFC 7519: `eyJ` is the base64url of `{"`), Google access tokens (`ya29.`), EKS tokens
///   (`k8s-aws-v1.`), OpenShift tokens (`sha256~`);
/// - credentials behind `Bearer` and `Basic` (RFC 6750, RFC 7617);
/// - private keys in PEM (RFC 7468), up to the end of the text if the last line is missing;
/// - user and password in a URL's authority (RFC 3986 section 3.2.1).
package enum SecretRedactor {
    package static let replacement = "[redacted]"

    private static let prefixes = ["eyJ", "ya29.", "k8s-aws-v1.", "sha256~"].map { Array($0.utf8) }
    private static let schemes = ["bearer ", "basic "].map { Array($0.utf8) }
    private static let keyBegin = Array("-----BEGIN ".utf8)
    private static let keyEnd = Array("-----END ".utf8)
    private static let keyName = Array("PRIVATE KEY-----".utf8)
    private static let dashes = Array("-----".utf8)
    private static let authorityBegin = Array("://".utf8)
    /// The longest kind of private key in a PEM label is `ENCRYPTED `.
    private static let keyNameReach = 32
    /// Credentials behind a scheme are longer than this, or hold a character that no English word has behind its first:
    /// "bearer token expired" stays readable.
    private static let longestWord = 15

    /// - Returns: `text` without credentials; the same text if it holds none.
    package static func redact(_ text: String) -> String {
        let bytes = Array(text.utf8)
        var result: [UInt8] = []
        var index = 0
        var isChanged = false
        while index < bytes.count {
            guard let end = endOfCredential(in: bytes, at: index) else {
                result.append(bytes[index])
                index += 1
                continue
            }
            result += replacement.utf8
            index = end
            isChanged = true
        }
        return isChanged ? String(decoding: result, as: UTF8.self) : text
    }

    /// The index behind the credential that begins at `index`; `nil` if none begins there.
    private static func endOfCredential(in bytes: [UInt8], at index: Int) -> Int? {
        if bytes[index] == UInt8(ascii: "-") { return endOfKey(in: bytes, at: index) }
        if isBehind(authorityBegin, in: bytes, at: index), let end = endOfUserInformation(in: bytes, at: index) {
            return end
        }
        if prefixes.contains(where: { has($0, in: bytes, at: index) }), isBoundary(in: bytes, before: index) {
            return endOfToken(in: bytes, at: index)
        }
        guard schemes.contains(where: { isBehind($0, in: bytes, at: index) }) else { return nil }
        let end = endOfToken(in: bytes, at: index)
        let word = bytes[index..<end]
        return word.count > longestWord || word.dropFirst().contains(where: { !isLowercase($0) }) ? end : nil
    }

    private static func endOfKey(in bytes: [UInt8], at index: Int) -> Int? {
        guard has(keyBegin, in: bytes, at: index) else { return nil }
        let name = index + keyBegin.count
        guard let begin = firstIndex(of: keyName, in: bytes, from: name, reach: keyNameReach),
            bytes[name..<begin].allSatisfy({
                $0 == UInt8(ascii: " ") || (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains($0)
            })
        else { return nil }
        guard let last = firstIndex(of: keyEnd, in: bytes, from: begin + keyName.count, reach: bytes.count),
            let end = firstIndex(of: dashes, in: bytes, from: last + keyEnd.count, reach: keyNameReach + keyName.count)
        else { return bytes.count }
        return end + dashes.count
    }

    /// The index of the `@` behind `user:password`; `nil` if nothing stands before it.
    private static func endOfUserInformation(in bytes: [UInt8], at index: Int) -> Int? {
        let authority = bytes[index...].prefix { !#" /?#"'\#n\#t"#.utf8.contains($0) }
        return authority.dropFirst().lastIndex(of: UInt8(ascii: "@"))
    }

    private static func endOfToken(in bytes: [UInt8], at index: Int) -> Int {
        bytes[index...].firstIndex { !isTokenByte($0) } ?? bytes.count
    }

    /// A token begins behind anything but a letter or digit, and behind an escaped byte of a URL (`%3D`).
    private static func isBoundary(in bytes: [UInt8], before index: Int) -> Bool {
        guard index > 0, isLetter(bytes[index - 1]) || isDigit(bytes[index - 1]) else { return true }
        return index >= 3 && bytes[index - 3] == UInt8(ascii: "%")
    }

    private static func has(_ pattern: [UInt8], in bytes: [UInt8], at index: Int) -> Bool {
        bytes[index...].starts(with: pattern)
    }

    /// `pattern` is in lower case; `bytes` need not be.
    private static func isBehind(_ pattern: [UInt8], in bytes: [UInt8], at index: Int) -> Bool {
        guard index >= pattern.count else { return false }
        return bytes[(index - pattern.count)..<index].elementsEqual(pattern) { byte, expected in
            byte == expected || isLetter(byte) && byte | 0x20 == expected
        }
    }

    private static func firstIndex(of pattern: [UInt8], in bytes: [UInt8], from start: Int, reach: Int) -> Int? {
        let last = min(start + reach, bytes.count - pattern.count)
        guard start <= last else { return nil }
        return (start...last).first { has(pattern, in: bytes, at: $0) }
    }

    private static func isLetter(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20)
    }

    private static func isLowercase(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
    }

    private static func isDigit(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
    }

    private static func isTokenByte(_ byte: UInt8) -> Bool {
        isLetter(byte) || isDigit(byte) || "-_.+/=~%".utf8.contains(byte)
    }
}
