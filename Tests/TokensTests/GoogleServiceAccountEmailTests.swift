import Testing
import Tokens

@Suite struct GoogleServiceAccountEmailTests {
    @Test(
        "what IAM makes is an address",
        arguments: [
            "reports@lab-project.iam.gserviceaccount.com", "reports@lab-project.example.com.iam.gserviceaccount.com",
            "112233445566-compute@developer.gserviceaccount.com", "lab-project@appspot.gserviceaccount.com",
            "service-1@gcp-sa_pubsub.iam.gserviceaccount.com".replacing("_", with: "-"), "a@b",
        ])
    func valid(text: String) {
        #expect(GoogleServiceAccountEmail.isValid(text))
    }

    @Test(
        "nothing else is",
        arguments: [
            "", "a", "a@", "@b.c", "a@b@c", "a@.b", "a@b.", "a@b..c", "a b@c", "a@b\n", "a/b@c", "a@b/c", "%40@b",
            "a+x@b.c",
            "a@b_c", "\u{212a}@c", "112233445566778899001", String(repeating: "a", count: 253) + "@b",
        ])
    func invalid(text: String) {
        #expect(!GoogleServiceAccountEmail.isValid(text))
    }
}
