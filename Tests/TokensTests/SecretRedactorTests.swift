import Fuzzing
import Testing
import Tokens

@Suite struct SecretRedactorTests {
    @Test("Every form of a credential is replaced", arguments: CredentialForms.all)
    func form(_ form: CredentialForms.Form) {
        let redacted = SecretRedactor.redact(form.text)
        #expect(!redacted.contains(form.secret) && redacted.contains("[redacted]"), "\(redacted)")
    }

    @Test(
        "The text around a credential stays",
        arguments: [
            ("got eyJhbGciOi.J9.abc-_ from", "got [redacted] from"),
            (#"{"t":"ya29.c.xyz"}"#, #"{"t":"[redacted]"}"#),
            ("k8s-aws-v1.aHR0cHM6", "[redacted]"),
            ("Authorization: Bearer s3cr3t.token end", "Authorization: Bearer [redacted] end"),
            ("https://me:pass@host/x https://host/@y", "https://[redacted]@host/x https://host/@y"),
            ("-----BEGIN EC PRIVATE KEY-----\nMHcC\n-----END EC PRIVATE KEY-----\nx", "[redacted]\nx"),
            ("a ya29.x, b eyJh.c; c", "a [redacted], b [redacted]; c"),
        ])
    func rest(_ text: String, _ expected: String) {
        #expect(SecretRedactor.redact(text) == expected)
    }

    @Test(
        "What only looks like one stays",
        arguments: [
            "principal://iam.googleapis.com/projects/1 a@b.c", "keyJar wants eyes", "invalid bearer token",
            "the bearer token expired", "basic authentication is off", "Bearer [redacted]", "",
            "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----", "10.0.0.1:443 -> [::1]:80",
        ])
    func harmless(_ text: String) {
        #expect(SecretRedactor.redact(text) == text)
    }

    @Test("Redacting twice changes nothing, whatever the bytes")
    func idempotent() {
        var generator = FuzzGenerator(seed: 11)
        let parts = CredentialForms.all.map(\.text) + ["-----BEGIN ", "://", "bearer ", "eyJ", "@", "\n", "%3D", "é"]
        for _ in 0..<2000 {
            let text = (0..<Int.random(in: 1...6, using: &generator)).map { _ in generator.pick(parts) }.joined()
            let once = SecretRedactor.redact(text)
            #expect(SecretRedactor.redact(once) == once)
        }
    }
}
