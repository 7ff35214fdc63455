extension DebugPage {
    static let introduction = """
        # Looking into a node

        <!-- Made by 'make captures' from a run in the lab. A test compares: run it again after a change. -->

        `podidentd debug` asks the agent of the node that it runs on, so it needs nothing but a shell on the node, or:

        ```console
        $ kubectl -n podidentd exec POD_OF_THE_NODE -- podidentd debug explain shop/web-1
        ```

        Every command but `bundle` takes `--output table`, `tree`, `json` or `yaml`. Each has a `--help`, and uses colours and the
        width of a terminal only where there is one (`NO_COLOR` is respected). None prints a token. UIDs, IDs, times, ports and the
        kernel's release are stand-ins below.
        """

    static let explanation = """
        ## Why does a pod get no identity?

        `explain` goes through a request stage by stage and ends with a real mint, past every cache. Its status is 1 if the
        pod gets no identity, and the fix stands below the stage that fails.
        """

    static let cgroups = """
        ## Which cgroup is whose?

        `cgroups` is the live map that connections are attributed by. `--watch` follows it: on a terminal the map is drawn
        again, elsewhere each change is a line. `--namespace`, `--pod`, `--uid` and `--cgroup-id` select.
        """

    static let connections = """
        ## Who is connected?
        """

    static let tokens = """
        ## Which tokens are cached?

        What each is for, how old it is, when it ends, and the last failure; never the token.
        """

    static let top = """
        ## Which pods ask most, and are refused?

        Without `--once` the table is drawn again every two seconds (`--interval`), with the rates and latencies of that time.
        `--sort` takes requests, refusals, latency or tokens, `--count` ends after so many tables, and `--output json` prints one
        line for each. P50 and P99 are upper bounds, by powers of two; callers without an identity share one line.
        """

    static let bundle = """
        ## What goes into a bug report?

        One tar file, mode 0600: configuration, status, cgroups, connections, tokens as above, the last 1000 lines of the
        log, and the kernel's version. Whatever looks like a credential is taken out. From outside:
        `kubectl exec POD -- podidentd debug bundle --file - > bundle.tar`.
        """

    static let check = """
        ## Is this node protected?

        `podidentd check` needs no agent: it looks for itself, and tries connections from a cgroup of its own. Status 0:
        healthy; 1: degraded; 2: a pod can reach what it must not. `--online` also tries Google's token services.
        """

    static let withoutAgent = """
        ## When the agent is down

        `cgroups` and `connections` then read the pinned maps and the cgroup file system themselves. Pods have UIDs and no
        names, and the output says so (`"source": "kernel"` in JSON).
        """
}
