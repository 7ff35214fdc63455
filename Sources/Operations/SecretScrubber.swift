/// Takes out of text what looks like a credential: the last line of defence of what leaves the node.
///
/// Nothing that it is given should hold one. It knows JWTs, Google's and EKS's access tokens, bearer headers, PEM keys,
/// and passwords in URLs.
package enum SecretScrubber {
    private static let prefixes = ["eyJ", "ya29.", "k8s-aws-v1."]
    private static let redacted = "[redacted]"

    package static func scrub(_ text: String) -> String {
        var isInKey = false
        return text.split(separator: "\n", omittingEmptySubsequences: false).map { line -> String in
            if line.contains("-----BEGIN"), line.contains("PRIVATE KEY") { isInKey = true }
            defer { if line.contains("-----END") { isInKey = false } }
            return isInKey ? redacted : scrubLine(line)
        }.joined(separator: "\n")
    }

    private static func scrubLine(_ line: Substring) -> String {
        var result = ""
        var rest = withoutPasswords(line)[...]
        while let match = firstToken(in: rest) {
            result += rest[..<match] + redacted
            rest = rest[match...].drop(while: isTokenCharacter)
        }
        return result + rest
    }

    private static func firstToken(in text: Substring) -> Substring.Index? {
        var previous: Character?
        for index in text.indices {
            if previous.map(isTokenCharacter) != true {
                let rest = text[index...]
                if prefixes.contains(where: rest.hasPrefix) { return index }
                if previous == " ", text[..<index].lowercased().hasSuffix("bearer "), !rest.hasPrefix("[") {
                    return index
                }
            }
            previous = text[index]
        }
        return nil
    }

    /// `https://user:password@host` without user and password.
    private static func withoutPasswords(_ line: Substring) -> String {
        var result = ""
        var rest = line
        while let scheme = rest.firstRange(of: "://") {
            result += rest[..<scheme.upperBound]
            rest = rest[scheme.upperBound...]
            let authority = rest.prefix { !" /?#\"'".contains($0) }
            if let at = authority.lastIndex(of: "@") {
                result += redacted
                rest = rest[at...]
            }
        }
        return result + rest
    }

    private static func isTokenCharacter(_ character: Character) -> Bool {
        character.isASCII
            && (character.isLetter || character.isNumber || character == "-" || character == "_" || character == "."
                || character == "+" || character == "/" || character == "=" || character == "~")
    }
}
