import AgentTesting
import Lab
import Testing

@Suite(.serialized, .timeLimit(.minutes(10)))
struct CaptureTests {
    @Test("the page of the debug commands shows what they print ('make captures' writes it again)")
    func page() async throws {
        try compare("docs/operate/debug.md", with: try await DebugPage.make(keys: try sharedKeys.get()))
    }

    @Test("the page of the kubectl plugin shows what it prints ('make captures' writes it again)")
    func pluginPage() async throws {
        let page = try await PluginPage.make(keys: try sharedKeys.get(), repository: repositoryFolder)
        try compare("docs/operate/kubectl.md", with: page)
    }

    private func compare(_ path: String, with page: String) throws {
        let known = CaptureStructure.lines(of: try repositoryFile(path))
        let now = CaptureStructure.lines(of: page)
        for (old, new) in zip(known, now) where old != new {
            Issue.record("\(path) has '\(old)', but now it is '\(new)'")
            return
        }
        #expect(known.count == now.count)
    }

    @Test("the page of the kubectl plugin holds every command that it has, and no token")
    func pluginContents() async throws {
        let page = try repositoryFile("docs/operate/kubectl.md")
        let typed = page.split(separator: "\n").filter { $0.hasPrefix("$ kubectl podidentd ") }
        let shown = Set(typed.map { $0.split(separator: " ")[3] })
        let commands = try await ProgramCommand.all(of: "kubectl-podidentd").map { $0.path.joined(separator: " ") }
        #expect(commands.count > 8 && shown == Set(commands.filter { $0 != "version" }.map { Substring($0) }))
        #expect(!page.contains("ya29.") && !page.contains("eyJ") && !page.contains("nidlab"))
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
            $ kubectl podidentd check --all
            NODE node-a (podidentd/podidentd-k8x2v)
              ok        hook.bind4   found
            ```
            Words 2.
            """
        #expect(
            CaptureStructure.lines(of: page) == [
                "# Title 1", "```console", "$ podidentd debug tokens", "AGE X", "#s a", "$ podidentd check",
                "kernel.btf", "$ kubectl podidentd check --all", "hook.bind4", "```", "Words 2.",
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
