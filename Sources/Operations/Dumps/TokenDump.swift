package import Attribution
package import Tokens

/// Every token that the agent holds, described without the token.
package struct TokenDump: Codable, Sendable, Equatable {
    package struct Failure: Codable, Sendable, Equatable {
        package var upstream: String
        package var kind: String
        /// The HTTP status, if there was an answer.
        package var status: Int?
        package var message: String
    }

    package struct Entry: Codable, Sendable, Equatable {
        package var namespace: String?
        package var pod: String?
        package var uid: String
        package var serviceAccount: String
        /// The Google service account, or `federated`, or `pod` for the pod's own JWT.
        package var target: String
        /// `access`, `identity`, `federation` or `pod`.
        package var kind: String
        /// The audience of an identity or pod token.
        package var audience: String?
        /// The scopes of an access token.
        package var scopes: [String]?
        package var quotaProject: String?
        /// `empty`, `fetching`, `fresh`, `refreshing` or `failed`.
        package var state: String
        /// The seconds since the token was minted.
        package var ageSeconds: Int?
        /// The seconds until the token ends; negative once it has.
        package var expiresInSeconds: Int?
        /// Requests that wait for it.
        package var waiters: Int
        /// The upstream that a fetch under way waits for.
        package var stage: String?
        package var lastFailure: Failure?

        /// The words that entries are sorted by; those of unknown pods come last.
        fileprivate var order: [String] {
            [namespace ?? "~", pod ?? "~", uid, kind, audience ?? "", scopes?.joined() ?? ""]
        }
    }

    package var node: String
    package var entries: [Entry]

    /// Joins the token service's entries with the pod list.
    package init(node: String, entries: [TokenEntrySnapshot], record: (PodUID) -> PodRecord?) {
        self.node = node
        self.entries = entries.map { Entry($0, pod: record($0.pod)) }.sorted {
            $0.order.lexicographicallyPrecedes($1.order)
        }
    }

    package func filtered(by filter: CgroupFilter) -> TokenDump {
        var dump = self
        dump.entries = entries.filter { filter.matches(namespace: $0.namespace, pod: $0.pod, uid: $0.uid) }
        return dump
    }

    package func table(on terminal: Terminal = .plain) -> String {
        var table = TextTable(columns: [
            .init("NAMESPACE", fit: .end), .init("POD", fit: .end), .init("SERVICEACCOUNT", fit: .end),
            .init("TARGET", fit: .end), "KIND", .init("FOR", fit: .end), "STATE", "AGE", "EXPIRES",
            .init("LAST FAILURE", fit: .end),
        ])
        for entry in entries {
            table.append(
                [
                    entry.namespace ?? "-", entry.pod ?? entry.uid, entry.serviceAccount, entry.target, entry.kind,
                    entry.audience ?? entry.scopes?.map(Self.shortScope).joined(separator: ",") ?? "-",
                    entry.state + (entry.waiters > 0 ? " (\(entry.waiters) wait)" : ""),
                    entry.ageSeconds.map(DurationText.short) ?? "-",
                    entry.expiresInSeconds.map(DurationText.short) ?? "-", entry.lastFailure?.text ?? "-",
                ], styles: [6: Self.style(of: entry.state)])
        }
        return table.text(on: terminal)
    }

    private static func style(of state: String) -> TextStyle {
        switch state {
        case "fresh": .good
        case "failed": .bad
        default: .warning
        }
    }

    /// Scopes are long and begin alike.
    private static func shortScope(_ scope: String) -> String {
        let prefix = "https://www.googleapis.com/auth/"
        return scope.hasPrefix(prefix) ? String(scope.dropFirst(prefix.count)) : scope
    }
}

extension TokenDump.Failure {
    fileprivate var text: String { "\(upstream) \(status.map { "\($0) " } ?? "")\(kind): \(message)" }
}

extension TokenDump.Entry {
    fileprivate init(_ entry: TokenEntrySnapshot, pod: PodRecord?) {
        namespace = entry.account.namespace
        self.pod = pod?.name
        uid = entry.pod.description
        serviceAccount = entry.account.name
        target =
            switch entry.target {
            case .federated: "federated"
            case .googleServiceAccount(let email): email
            case .serviceAccount: "pod"
            case .cloud(let identity): identity.principal
            }
        switch entry.kind {
        case .accessToken(let set): (kind, audience, scopes) = ("access", nil, set.sorted)
        case .identityToken(let name): (kind, audience, scopes) = ("identity", name, nil)
        case .federation: (kind, audience, scopes) = ("federation", nil, nil)
        case .podToken(let name): (kind, audience, scopes) = ("pod", name, nil)
        case .cloudCredential(let resource):
            (kind, audience, scopes) = ("cloud", resource.isEmpty ? nil : resource, nil)
        }
        quotaProject = entry.quotaProject
        state = entry.state
        ageSeconds = entry.age.map { Int($0.components.seconds) }
        expiresInSeconds = entry.remaining.map { Int($0.components.seconds) }
        waiters = entry.waiters
        stage = entry.stage
        lastFailure = entry.lastFailure.map { failure in
            TokenDump.Failure(
                upstream: failure.upstream.rawValue, kind: failure.kind.rawValue, status: failure.status,
                message: failure.message)
        }
    }
}
