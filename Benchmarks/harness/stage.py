"""The lab's node with its pods, cluster and cloud, driven over a pipe."""

import json
import os
import subprocess

from .tools import BenchError, go_first, run


class Stage:
    """A world of the lab; everything it made is gone when it is closed."""

    def __init__(self, lab):
        # A session of its own: Ctrl-C ends the harness, whose end lets the lab clean up.
        self.process = subprocess.Popen(
            [lab, "stage"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)
        go_first(self.process.pid)
        self.pods = []
        self.servers = []
        self.node = self.command("node")

    def command(self, name, /, **fields):
        self.process.stdin.write(json.dumps({"command": name, **fields}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise BenchError("the lab has ended; its last words are above")
        answer = json.loads(line)
        if "error" in answer:
            raise BenchError(f"the lab could not do '{name}': {answer['error']}")
        return answer.get("ok")

    def set_pods(self, count):
        self.pods = self.command("pods", count=count)
        for pod in self.pods:
            pod["procs"] = pod["cgroup"] + "/cgroup.procs"
        return self.pods

    def free_ports(self, pod):
        """
        Lets a pod that loads a server use a port again at once. Whoever closes first waits a minute (TIME_WAIT), and
        wrk does where a server is not the faster: 28,000 ports last two seconds, and every later round would measure
        the search for a free one.
        """
        for setting in ("net.ipv4.tcp_max_tw_buckets=0", "net.ipv4.ip_local_port_range=1024 65535"):
            run("nsenter", f"--net={pod['network']}", "--", "sysctl", "-q", "-w", setting)

    def set_delay(self, milliseconds):
        self.command("delay", milliseconds=milliseconds)

    def set_token_length(self, characters):
        """How long Google's access tokens are that are fetched from now on."""
        self.command("token-length", count=characters)

    def take_upstream_requests(self, everything=False):
        """What upstreams were asked since the last call; without the agent's watches, lists and the like unless `everything` is wanted."""
        return [request for request in self.command("upstream") or []
                if everything or request["server"] != "kubernetes" or "/serviceaccounts/" in request["path"]]

    def nest(self, pod, count):
        """Makes `count` cgroups below a pod's container, 50 to a level-one child, and returns the deepest's procs."""
        made = 0
        group = pod["cgroup"]
        while made < count:
            parent = f"{pod['cgroup']}/nested-{made}"
            os.mkdir(parent)
            made += 1
            for child in range(min(49, count - made)):
                group = f"{parent}/child-{child}"
                os.mkdir(group)
                made += 1
        return group + "/cgroup.procs"

    def inside_pod(self, pod, arguments, procs=None):
        """A command line that runs in the pod's cgroup and network from its first instruction."""
        return ["sh", "-c", 'echo 0 > "$0" && exec "$@"', procs or pod["procs"], "nsenter", f"--net={pod['network']}",
                "--", *arguments]

    def inside_node(self, arguments):
        return ["nsenter", f"--net={self.node['network']}", "--", *arguments]

    def start_on_node(self, arguments, **options):
        """A server on the node, which does not outlive the stage."""
        return self.start(self.inside_node(arguments), **options)

    def start(self, arguments, **options):
        """A server that does not outlive the stage."""
        process = subprocess.Popen(arguments, **{"stdin": subprocess.DEVNULL, **options})
        self.servers.append(process)
        return process

    def close(self):
        for server in self.servers:
            if server.poll() is None:
                # Asked first: nginx ends its workers only then.
                server.terminate()
                try:
                    server.wait(timeout=10)
                except subprocess.TimeoutExpired:
                    server.kill()
                    server.wait()
        self.process.stdin.close()
        try:
            self.process.wait(timeout=120)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise BenchError("the lab did not end within 120 s: 'podidentd-lab clean' removes what it made") from None
