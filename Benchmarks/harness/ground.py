"""Cgroups and network namespaces for work that no agent takes part in: a node with three pods behind veths."""

import os
import re
import time

from .tools import BenchError, run

NAME = "nidlab-bystanders"
PODS = 3


def cgroup_root():
    """Where cgroup v2 is mounted."""
    with open("/proc/self/mounts") as file:
        found = re.search(r"^\S+ (\S+) cgroup2 ", file.read(), re.MULTILINE)
    if not found:
        raise BenchError("no cgroup v2 hierarchy is mounted: mount one, the hooks are attached to it")
    return found[1]


class Ground:
    """Used with `with`: everything goes at the end."""

    def __init__(self):
        self.root = cgroup_root()
        self.cgroups = f"{self.root}/{NAME}"
        self.host = f"{self.cgroups}/host/cgroup.procs"
        self.kubepods = f"{self.cgroups}/kubepods"
        self.pod = f"{self.kubepods}/pod1/container/cgroup.procs"
        # Counted from the root of the mount, which is that of the hierarchy outside of cgroup namespaces.
        self.kubepods_level = 2

    @staticmethod
    def network(place):
        """The file of a namespace: "node", "pod1", ..."""
        return f"/run/netns/{NAME}-{place}"

    def __enter__(self):
        try:
            for procs in (self.host, self.pod):
                os.makedirs(os.path.dirname(procs), exist_ok=True)
            self._add("node")
            self._sysctl("node", "net.ipv4.ip_forward=1", "net.ipv4.conf.all.rp_filter=0")
            for number in range(1, PODS + 1):
                self._add_pod(number)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for place in ["node"] + [f"pod{number}" for number in range(1, PODS + 1)]:
            if os.path.exists(self.network(place)):
                run("ip", "netns", "del", f"{NAME}-{place}")
        # A process that has just ended may still count.
        deadline = time.monotonic() + 5
        for directory, _, _ in os.walk(self.cgroups, topdown=False):
            while True:
                try:
                    os.rmdir(directory)
                    break
                except OSError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.01)

    def _add(self, place):
        name = f"{NAME}-{place}"
        run("ip", "netns", "add", name)
        run("ip", "-n", name, "link", "set", "lo", "up")
        # No TIME_WAIT, and a port for each connection of a long run.
        self._sysctl(place, "net.ipv4.tcp_max_tw_buckets=0", "net.ipv4.ip_local_port_range=1024 65000")

    def _add_pod(self, number):
        node, pod, address = f"{NAME}-node", f"{NAME}-pod{number}", f"10.99.{number}"
        self._add(f"pod{number}")
        run("ip", "-n", node, "link", "add", f"veth{number}", "type", "veth", "peer", "name", "eth0", "netns", pod)
        run("ip", "-n", node, "addr", "add", f"{address}.1/24", "dev", f"veth{number}")
        run("ip", "-n", node, "link", "set", f"veth{number}", "up")
        run("ip", "-n", pod, "addr", "add", f"{address}.2/24", "dev", "eth0")
        run("ip", "-n", pod, "link", "set", "eth0", "up")
        run("ip", "-n", pod, "route", "add", "default", "via", f"{address}.1")

    def _sysctl(self, place, *settings):
        run("nsenter", f"--net={self.network(place)}", "sysctl", "-qw", *settings)
