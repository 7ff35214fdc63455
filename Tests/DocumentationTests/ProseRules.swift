import RegexBuilder

/// The rules of docs/CONTRIBUTING.md for sentences, as far as a machine can keep them.
struct ProseRules {
    /// More words make readers begin a sentence again.
    static let wordsMax = 25

    /// Openers that stand for the thing instead of naming it.
    private static let openers: Set<Substring> = [
        "What", "Of", "Who", "Whom", "Which", "Whose", "It", "Its", "They", "Whoever", "That", "Those", "Nobody",
        "Somebody",
    ]

    /// Openers of a doc comment that leave out its noun: "Since boot" for "The seconds since boot".
    private static let adverbials: Set<Substring> = [
        "Above", "After", "Among", "As", "At", "Because", "Before", "Below", "Beside", "Besides", "Between", "Beyond",
        "By", "During", "For", "From", "If", "In", "Inside", "Never", "Not", "Off", "On", "Once", "Only", "Out",
        "Outside", "Over", "Since", "So", "Through", "To", "Under", "Unless", "Until", "Up", "Upon", "Whatever", "When",
        "Whenever", "Where", "Wherever", "While", "With", "Within", "Without",
    ]

    /// Words of a home-made dialect; each has a plain word: again, report, drop, redirect, repair, and the actor's name.
    private let banned = Regex {
        Anchor.wordBoundary
        ChoiceOf {
            "anew"
            "told of"
            /tells? of/
            /hears?/
            "whoever"
            /(?:held|hold|holds|holding) back/
            /mend(?:s|ed)?/
            "somebody"
            "nobody"
            "at hand"
            /leads? (?:pods|connections|it to|them to|to the agent)/
            /(?:is|are|was|were|been) led/
            "for ever"
        }
        Anchor.wordBoundary
    }.ignoresCase()

    /// The violations of a comment.
    func violations(inComment comment: String) -> [String] {
        let prose = plain(comment)
        var found: [String] = []
        for paragraph in prose.split(separator: "\n") {
            let text = paragraph.drop { $0 == " " }
            let first = text.prefix { $0.isLetter }
            if Self.openers.contains(first) {
                found.append("begins with '\(first)' and not with the thing that it names, or with a verb")
            }
        }
        return found + violations(in: prose)
    }

    /// The violations of a doc comment (`///`), whose first word names the thing or is the verb of what it does.
    func violations(inDocumentation comment: String) -> [String] {
        let first = plain(comment).prefix { $0.isLetter }
        let opener = Self.adverbials.contains(first) ? ["begins with '\(first)' and leaves its noun out"] : []
        return opener + violations(inComment: comment)
    }

    /// The violations of running text.
    func violations(in text: String) -> [String] {
        var found: [String] = []
        if let match = text.firstMatch(of: banned) { found.append("'\(match.0)' has a plain word") }
        for sentence in sentences(of: text) {
            let count = sentence.split(separator: " ").count { $0.contains(where: \.isLetter) }
            if count > Self.wordsMax { found.append("\(count) words in one sentence: \(sentence)") }
        }
        return found
    }

    /// Paragraphs and items of lists, one a line; code and what stands in brackets counts as one word or none.
    private func plain(_ comment: String) -> String {
        var paragraphs = [""]
        for line in comment.split(separator: "\n", omittingEmptySubsequences: false) {
            let line = line.drop { $0 == " " }
            let isItem = line.firstMatch(of: /^(?:- |\d+\. |\||[A-Z][\w-]*: )/) != nil
            // Tables and drawings are aligned by several spaces.
            let isTable = line.contains("  ")
            if line.isEmpty || isItem || isTable { paragraphs.append("") }
            if !isTable { paragraphs[paragraphs.count - 1] += line + " " }
        }
        return paragraphs.joined(separator: "\n")
            .replacing(/`+[^`]*`+/, with: "X").replacing(/\([^()]*\)/, with: "").trimmingPrefix {
                $0 == " " || $0 == "\n"
            }
            .description
    }

    /// A colon and a semicolon end one as well: what follows can be read by itself.
    private func sentences(of text: String) -> [String] {
        var sentences: [String] = []
        for paragraph in text.split(separator: "\n") {
            var current: [Substring] = []
            for word in paragraph.split(separator: " ") {
                current.append(word)
                if let last = word.last, ".!?:;".contains(last) {
                    sentences.append(current.joined(separator: " "))
                    current = []
                }
            }
            if !current.isEmpty { sentences.append(current.joined(separator: " ")) }
        }
        return sentences
    }

    /// The nouns that operators search for: a line of the log or of HELP has one.
    static let nouns: Set<String> = [
        "access", "account", "address", "addresses", "admin", "agent", "agents", "annotation", "api", "attestation",
        "attribution", "audit", "bundle", "cache", "cached", "certificate", "cgroup", "cgroups", "client", "clients",
        "clock", "cloud", "clouds", "configuration", "connection", "connections", "counters", "credential",
        "credentials", "descriptor", "descriptors", "endpoint", "entries", "event", "events", "exchange", "fetch",
        "fetches", "file", "files", "frames", "guard", "hand-over", "handshake", "hook", "hooks", "identity", "index",
        "interface", "interfaces", "kernel", "key", "keys", "kubeconfig", "kubelet", "kubepods", "line", "lines",
        "list", "listener", "listeners", "lists", "log", "map", "maps", "memory", "metadata", "metrics", "mount",
        "namespace", "namespaces", "node", "nodes", "opener", "page", "pages", "path", "paths", "pin", "pins",
        "plugin", "pod", "pods", "policies", "policy", "port", "ports", "process", "program", "programs", "provider",
        "proxy", "readiness", "refresh", "refreshes", "request", "requests", "response", "rules", "secret", "server",
        "service", "serviceaccount", "serviceaccounts", "signal", "signer", "socket", "sockets", "start", "stream",
        "streams", "successor", "supervisor", "svid", "svids", "table", "taint", "thread", "time", "token", "tokens",
        "upstream", "upstreams", "version", "warning", "warnings", "watch", "watches",
    ]

    /// Whether the text has a noun that one would search for.
    static func hasNoun(_ text: String) -> Bool {
        text.lowercased().split { !$0.isLetter && $0 != "-" }.contains { nouns.contains(String($0)) }
    }
}
