import AgentTesting
import Lab
import Testing

@Suite(.serialized, .timeLimit(.minutes(10)))
struct CaptureTests {
    @Test("the page of the debug commands shows what they print ('make captures' writes it again)")
    func page() async throws {
        let known = CaptureStructure.lines(of: try repositoryFile("docs/operate/debug.md"))
        let page = CaptureStructure.lines(of: try await DebugPage.make(keys: try sharedKeys.get()))
        for (old, new) in zip(known, page) where old != new {
            Issue.record("docs/operate/debug.md has '\(old)', but now it is '\(new)'")
            return
        }
        #expect(known.count == page.count)
    }

    @Test("the page holds every command, and no token")
    func contents() throws {
        let page = try repositoryFile("docs/operate/debug.md")
        for command in [
            "debug explain", "debug cgroups", "debug connections", "debug tokens", "debug top", "debug bundle",
            "check",
        ] { #expect(page.contains("$ podidentd \(command)"), "\(command)") }
        #expect(!page.contains("ya29.") && !page.contains("eyJ") && !page.contains("nidlab"))
        for words in ["finance/reports", "roles/iam.workloadIdentityUser", "no agent answers", "healthy"] {
            #expect(page.contains(words), "\(words)")
        }
    }

    @Test("structure is words without numbers and widths, and of the check the names")
    func structure() {
        let page = """
            # Title 1
            ```console
            $ podidentd debug tokens
            AGE  X
            12s  a
            $ podidentd check
            Kernel
              ok        kernel.btf   found 3
                                     and more
            ```
            Words 2.
            """
        #expect(
            CaptureStructure.lines(of: page) == [
                "# Title 1", "```console", "$ podidentd debug tokens", "AGE X", "#s a", "$ podidentd check",
                "kernel.btf", "```", "Words 2.",
            ])
    }

    @Test("stand-ins are equal for equal values, and as wide as those")
    func standIns() {
        var normalizer = CaptureNormalizer()
        let uid = "34c94737-fd9b-4688-9caf-14636a9d6a94"
        #expect(
            normalizer.normalize("4711       \(uid)\n4712       x\nshop/a [4711] is \(uid)")
                == """
                101        00000001-0000-4000-8000-000000000000
                102        x
                shop/a [101] is 00000001-0000-4000-8000-000000000000
                """)
    }
}
