import Fuzzing
import Logging
import Operations
import Synchronization
import Testing

/// Each way on which text leaves the agent, fed with each form of a credential.
@Suite struct RedactionTests {
    @Test("No log line holds a credential", arguments: CredentialForms.all, [LogFormat.text, .json])
    func log(_ form: CredentialForms.Form, _ format: LogFormat) {
        let lines = Mutex("")
        let recent = RecentLog()
        let logger = Logger(label: "test") { label in
            recent.keeping(
                LineLogHandler(label: label, format: format) { line in
                    lines.withLock { $0 += String(decoding: line, as: UTF8.self) }
                })
        }
        logger.info("\(form.text)")
        logger.info("x", metadata: ["a": "\(form.text)", "b": ["\(form.text)"], "c": ["d": "\(form.text)"]])
        logger.info("x", error: Words(description: form.text))
        let written = lines.withLock { $0 }
        #expect(written.split(separator: "\n").count == 3)
        #expect(!written.contains(form.secret), "\(written)")
        #expect(!recent.lines.joined().contains(form.secret), "\(recent.lines)")
    }

    @Test("No bundle holds a credential", arguments: CredentialForms.all)
    func bundle(_ form: CredentialForms.Form) {
        var bundle = DebugBundle(modified: 0)
        bundle.add("a.txt", form.text)
        bundle.note("tokens", form.text)
        #expect(!String(decoding: bundle.finished(), as: UTF8.self).contains(form.secret))
    }

    private struct Words: Error, CustomStringConvertible {
        let description: String
    }
}
