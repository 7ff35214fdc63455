import Foundation

/// The page of the documentation that shows the kubectl plugin: made by running it with the real kubectl.
package struct PluginPage {
    private let cluster: PluginCluster
    private let directory: String
    private var normalizer = CaptureNormalizer()
    private var text: String

    /// Starts a world and a cluster around it, runs the plugin, and returns the page as Markdown. Needs root, and the
    /// tools of `make deploy-test`.
    package static func make(keys: LabCluster.Keys, repository: String) async throws -> String {
        try await LabWorld.with(keys: keys) { try await text($0, repository) }
    }

    private static func text(_ world: LabWorld, _ repository: String) async throws -> String {
        var text = introduction
        try await PluginCluster.run(in: world, repository: repository) { cluster in
            var page = PluginPage(cluster: cluster, directory: world.node.directory, text: introduction)
            // Before anything is refused: how many lines refusals have depends on when a minute ends.
            let audit = try await page.run("audit --since 10m")
            try await page.show("status", statusWords)
            try await page.show("explain shop/web-1", explainWords)
            try await page.show("top --once", topWords)
            try await page.show("cgroups --namespace shop", nodesWords)
            try await page.show("tokens", tokensWords)
            try await page.show("tokens --output tree --node \(LabWorld.nodeName)", formsWords)
            try await page.show("connections", connectionsWords)
            page.add(audit, auditWords)
            try await page.show("check --all", checkWords)
            try await page.show("bundle --file \(world.node.directory)/cluster.tar", bundleWords)
            text = page.text
        }
        return text + ending
    }

    /// A command of the plugin, and what it printed.
    private struct Captured {
        var arguments: String
        var result: CommandResult
    }

    private func run(_ arguments: String) async throws -> Captured {
        let words = ["podidentd"] + arguments.split(separator: " ").map(String.init)
        return Captured(arguments: arguments, result: try await cluster.kubectl(words))
    }

    private mutating func show(_ arguments: String, _ words: String) async throws {
        let captured = try await run(arguments)
        add(captured, words)
    }

    private mutating func add(_ captured: Captured, _ words: String) {
        let result = captured.result
        let output = (result.errorOutput + result.output).replacing(directory, with: "/tmp")
        let arguments = captured.arguments.replacing(directory, with: "/tmp")
        text += "\n\(words)\n\n```console\n$ kubectl podidentd \(arguments)\n"
        text += normalizer.normalize(output)
        if result.status != 0 { text += "(status \(result.status))\n" }
        text += "```\n"
    }

    private init(cluster: PluginCluster, directory: String, text: String) {
        self.cluster = cluster
        self.directory = directory
        self.text = text
    }
}

extension PluginPage {
    fileprivate static let introduction = """
        # kubectl podidentd

        A kubectl plugin asks the agents of a whole cluster, from wherever kubectl works. It runs the agents' own debug commands
        with `kubectl exec`: kubectl finds the cluster, logs in, and speaks to the API server; the plugin holds no credential and
        opens no connection. Its user needs these rights and no others:

        | command | rights in the agents' namespace | elsewhere |
        |---|---|---|
        | all but `audit` | `get`, `list` on `pods`; `get`, `create` on `pods/exec` | |
        | `audit` | `get`, `list` on `pods`; `get` on `pods/log` | |
        | `explain` | as all | `get` on the pod |

        ```yaml
        apiVersion: rbac.authorization.k8s.io/v1
        kind: Role
        metadata: {name: podidentd-operator, namespace: podidentd}
        rules:
          - {apiGroups: [""], resources: [pods], verbs: [get, list]}
          - {apiGroups: [""], resources: [pods/exec], verbs: [get, create]}
          - {apiGroups: [""], resources: [pods/log], verbs: [get]}
        ---
        # For explain: bind it in the namespaces of the pods.
        apiVersion: rbac.authorization.k8s.io/v1
        kind: ClusterRole
        metadata: {name: podidentd-explain}
        rules:
          - {apiGroups: [""], resources: [pods], verbs: [get]}
        ```

        Who may exec into the agent's pod may act as the agent: give these rights to operators of the nodes only.

        What was tried: the plugin's tests run with these two roles, against an API server of the lab that refuses everything else as
        Kubernetes 1.37 does. `get` on `pods/exec` is for kubectl's WebSocket; without it kubectl tries SPDY next, which that server
        does not speak. On a real API server (`make cluster`) the plugin was run as an administrator alone.

        `make image` leaves the plugin in `.build/image/kubectl-podidentd`, `make arm64` one for arm64 in `.build-arm64/image`: one file
        for Linux, which loads no library and so needs no particular glibc. Names of servers it leaves to kubectl.

        ```sh
        install .build/image/kubectl-podidentd /usr/local/bin/     # any folder in PATH
        kubectl plugin list
        ```

        `make captures` writes this page: what the commands print in the lab, by the real kubectl. Of the two nodes one is down.

        """

    fileprivate static let statusWords = "Every node in one line:"
    fileprivate static let explainWords = "Why a pod does or does not get its identity, from the agent of its node:"
    fileprivate static let topWords = """
        The pods of all nodes by what they ask of their agents; without `--once` live, every five seconds (`--interval`), with
        the rates and latencies of that time:
        """
    fileprivate static let nodesWords =
        "`cgroups`, `tokens`, `connections` and `check --all` say node by node what the agents say:"
    fileprivate static let tokensWords = "What every node's tokens are for, their age and their end; never a token:"
    fileprivate static let formsWords = """
        Every command but `bundle` and `version` takes `--output table`, `tree`, `json` or `yaml`; colours follow `NO_COLOR`. As JSON
        `audit`, and `top` without `--once`, print one object a line. A tree:
        """
    fileprivate static let connectionsWords = "The connections of pods to their agents, open and counted:"
    fileprivate static let auditWords = """
        The [audit lines](audit.md) of all nodes in the order of time, from the agents' logs:
        """
    fileprivate static let checkWords = """
        Whether the nodes are protected, and able to give pods credentials (`check NODE` asks one; `--online` tries the cloud's
        token services too):
        """
    fileprivate static let bundleWords = "All that a bug report needs, of all nodes, without secrets:"

    fileprivate static let ending = """

        ## Exit statuses

        | status | meaning |
        |---|---|
        | 0 | all is well |
        | 1 | a node is degraded or did not answer; `explain`: the pod gets no identity; `bundle`: the file could not be written |
        | 2 | a node is unsafe: a pod can reach what it must not |
        | 64 | the command was called wrongly |
        | 69 | the cluster could not be asked: kubectl is missing, the API server says no, no agent is there |

        ## Completions

        ```sh
        install .build/image/kubectl_complete-podidentd /usr/local/bin/     # any folder in PATH; needs bash
        ```

        With it kubectl itself completes `kubectl podidentd`, in each shell where kubectl's own completions are set up. For
        `kubectl-podidentd`, which is the same program:

        ```sh
        kubectl-podidentd --generate-completion-script bash > /etc/bash_completion.d/kubectl-podidentd
        kubectl-podidentd --generate-completion-script zsh > "${fpath[1]}/_kubectl-podidentd"
        kubectl-podidentd --generate-completion-script fish > ~/.config/fish/completions/kubectl-podidentd.fish
        ```

        The agent's own `podidentd` has [the same](operations.md#forms-of-output-and-exit-statuses).

        ## macOS

        The plugin uses the Swift standard library, FoundationEssentials, ArgumentParser and `posix_spawn`. A build for macOS needs
        its own half of the files that import Glibc (`ChildProcess`, `StandardStream`, `Terminal`), and a Mac to test it on.

        """
}
