"""How often a container's first connection is held, with the container runtimes that are installed: part of figure 6.

A container's process connects as soon as it is executed, which no application does. The kernel reports the namespace with
the same execution, or with that of the pod's first container (pause), so that the listener mostly is there before.
"""

import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time

from .first import held, percentile
from .ground import cgroup_root
from .rows import row
from .servers import Agent
from .tools import BENCHMARKS, BenchError, clang, run, say

# A pod may have eight network namespaces, and one is its own.
STARTS_PER_POD = 5


class Runtime:
    """runc and crun, called as containerd's shim and conmon call them."""

    def __init__(self, name, directory):
        self.name = name
        self.directory = os.path.join(directory, name)
        self.rootfs = os.path.join(self.directory, "rootfs")
        for path in ("/dev", "/proc", "/bench"):
            os.makedirs(self.rootfs + path)
        # A container without any file but this one.
        self.programs = os.path.join(self.directory, "bench")
        os.makedirs(self.programs)
        run(clang(), "-O2", "-static", os.path.join(BENCHMARKS, "load", "visit.c"), "-o", self.programs + "/visit")

    def in_unified(self, command):
        """Where the machine has both versions of cgroups, the runtime sees the newer one alone, at the usual place."""
        if cgroup_root() == "/sys/fs/cgroup":
            return command
        mount = f'mount --bind {cgroup_root()} /sys/fs/cgroup && exec "$0" "$@"'
        return ["unshare", "--mount", "--propagation", "slave", "sh", "-c", mount, *command]

    def start(self, identifier, cgroup, command, network=None):
        """Runs a container to its end, in the cgroup and in a network namespace of its own, and returns its output."""
        bundle = os.path.join(self.directory, identifier)
        os.makedirs(bundle)
        with open(bundle + "/config.json", "w") as file:
            json.dump(self.specification(cgroup, command, network), file)
        done = subprocess.run(self.in_unified([self.name, "run", "--bundle", bundle, identifier]), stdin=subprocess.DEVNULL, text=True,
                              capture_output=True, check=False)
        shutil.rmtree(bundle)
        if done.returncode:
            raise BenchError(f"{self.name}: {done.stderr.strip()}")
        return done.stdout

    def specification(self, cgroup, command, network):
        spaces = [{"type": kind} for kind in ("pid", "ipc", "uts", "mount")]
        spaces.append({"type": "network", "path": network} if network else {"type": "network"})
        binds = {"/bench": self.programs}
        return {
            "ociVersion": "1.0.2", "root": {"path": self.rootfs, "readonly": True},
            "process": {"args": command, "cwd": "/", "env": ["PATH=/usr/bin"], "user": {"uid": 0, "gid": 0}},
            "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}]
            + [{"destination": inside, "source": path, "type": "bind", "options": ["rbind", "ro"]}
               for inside, path in binds.items()],
            "linux": {"namespaces": spaces, "cgroupsPath": cgroup},
        }

    def close(self):
        pass


class Containerd(Runtime):
    """containerd with its shim and runc, by ctr."""

    def __init__(self, name, directory):
        super().__init__(name, directory)
        self.socket = self.directory + "/socket"
        words = ["containerd", "--root", self.directory + "/root", "--state", self.directory + "/state", "--address",
                 self.socket, "--log-level", "error"]
        self.daemon = subprocess.Popen(self.in_unified(words), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while subprocess.run(["ctr", "--address", self.socket, "version"], capture_output=True, check=False).returncode:
            if time.monotonic() > deadline:
                raise BenchError("containerd did not begin to serve within 20 s")
            time.sleep(0.1)

    def start(self, identifier, cgroup, command, network=None):
        words = ["ctr", "--address", self.socket, "run", "--rm", "--cgroup", cgroup, "--cpu-shares", "0", "--mount",
                 f"type=bind,src={self.programs},dst=/bench,options=rbind:ro"]
        if network:
            words += ["--with-ns", f"network:{network}"]
        done = subprocess.run([*words, "--rootfs", self.rootfs, identifier, *command], stdin=subprocess.DEVNULL, text=True,
                              capture_output=True, check=False, timeout=60)
        if done.returncode:
            raise BenchError(f"containerd: {done.stderr.strip()}")
        return done.stdout

    def close(self):
        self.daemon.terminate()
        self.daemon.wait(timeout=30)


def starts(stage, runtime, count, shares_network):
    """Milliseconds to the answer of `count` containers' first connections, and how many of them were held."""
    stage.set_pods(1)
    pods = stage.set_pods(-(-count // STARTS_PER_POD) + 1)[1:]
    before, times = held(stage), []
    for number in range(count):
        pod = pods[number // STARTS_PER_POD]
        cgroup = pod["cgroup"].removeprefix(cgroup_root()) + f"/start-{number}"
        network = pod["network"] if shares_network else None
        output = runtime.start(f"nidlab-{os.getpid()}-{number}", cgroup, ["/bench/visit", "--here", "--path", "/"], network)
        answer = json.loads(output)
        if answer["statuses"] != [200]:
            raise BenchError(f"no answer in a container of {runtime.name}: {answer['statuses']}")
        times += answer["milliseconds"]
    return times, held(stage) - before


def runtime_rows(stage, agent_path, options):
    rows = []
    agent = Agent(stage, agent_path)
    stage.set_pods(1)
    agent.start()
    try:
        with tempfile.TemporaryDirectory() as directory:
            for name, kind in (("runc", Runtime), ("crun", Runtime), ("containerd", Containerd)):
                if not shutil.which(name):
                    say(f"  note: {name} is not installed")
                    continue
                runtime = kind(name, directory)
                try:
                    version = run(name, "--version").split()[2]
                    for shares, how in ((True, "in the namespace of a pause process"), (False, "in one of its own")):
                        times, count = starts(stage, runtime, options.starts, shares)
                        rows.append(row(
                            f"runtime-{name}-{'pause' if shares else 'alone'}",
                            f"{name} {version}, a container's process connects at once, {how}: {count} of {len(times)} held, "
                            f"median {statistics.median(times):.1f} ms; 99th percentile", "ms", [percentile(times, 0.99)],
                            better="lower", tolerance=0.5))
                        say(f"  {rows[-1]['what']}: {rows[-1]['median']:.1f} ms")
                finally:
                    runtime.close()
    finally:
        agent.stop()
    return rows
