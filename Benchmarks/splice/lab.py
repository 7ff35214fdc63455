"""A pod and a server on this machine: a network namespace, two cgroups, the kernel programs."""

import ctypes
import json
import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
METADATA = ("169.254.169.254", 80)
# So that two runs on one machine do not meet.
NETWORK = f"10.203.{os.getpid() % 250}"
HOST_IP, POD_IP = f"{NETWORK}.1", f"{NETWORK}.2"
SERVER = (HOST_IP, 20080)
CLONE_NEWNET = 0x40000000
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None, use_errno=True)


def shell(*words):
    subprocess.run(words, check=True, stdin=subprocess.DEVNULL)


def cgroup_root():
    for line in Path("/proc/mounts").read_text().splitlines():
        if line.split()[2] == "cgroup2":
            return Path(line.split()[1])
    sys.exit("splice: no cgroup v2 hierarchy is mounted")


def enter_namespace(name):
    fd = os.open(f"/var/run/netns/{name}", os.O_RDONLY)
    if LIBC.setns(fd, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")
    os.close(fd)


class Loader:
    """The kernel programs, attached to a cgroup while this lives."""

    def __init__(self, cgroup, server, metadata=METADATA[0]):
        self.process = subprocess.Popen(
            [FOLDER / "build/loader", cgroup, metadata, *map(str, server)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if not self.process.stdout.readline():
            sys.exit("splice: the loader failed")

    def tell(self, line):
        """One command to the loader, and its answer."""
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the loader refused: {line}")
        return json.loads(answer)

    def stop(self):
        self.process.stdin.close()
        self.process.wait(10)


class Lab:
    """Everything is named for this process and goes when the `with` block ends."""

    def __init__(self):
        self.namespace = f"splice-{os.getpid()}"
        self.host_link, self.pod_link = f"sph{os.getpid()}", f"spp{os.getpid()}"
        self.cgroup = cgroup_root() / self.namespace
        self.loader = None

    def __enter__(self):
        try:
            self._make()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(self, *_):
        self._remove()

    def _make(self):
        shell("ip", "netns", "add", self.namespace)
        shell("ip", "link", "add", self.host_link, "type", "veth",
              "peer", "name", self.pod_link, "netns", self.namespace)
        shell("ip", "address", "add", f"{HOST_IP}/30", "dev", self.host_link)
        shell("ip", "link", "set", self.host_link, "up")
        self.in_pod("ip", "address", "add", f"{POD_IP}/30", "dev", self.pod_link)
        self.in_pod("ip", "link", "set", self.pod_link, "up")
        self.in_pod("ip", "link", "set", "lo", "up")
        self.in_pod("ip", "route", "add", "default", "via", HOST_IP)
        self.in_pod("sysctl", "-qw", "net.ipv4.ip_local_port_range=1024 65535")
        for name in ("pod", "server"):
            (self.cgroup / name).mkdir(parents=True)
        self.loader = Loader(self.cgroup, SERVER)

    def _remove(self):
        if self.loader:
            self.loader.stop()
        for name in ("pod", "server", "."):
            group = self.cgroup / name
            if group.exists():
                os.rmdir(group.resolve())
        subprocess.run(["ip", "link", "delete", self.host_link], stderr=subprocess.DEVNULL)
        subprocess.run(["ip", "netns", "delete", self.namespace], stderr=subprocess.DEVNULL)

    def in_pod(self, *words):
        shell("ip", "netns", "exec", self.namespace, *words)

    def tell(self, line):
        return self.loader.tell(line)

    def enter(self, where):
        """Moves this process into the pod, or to the server's place in the host's namespace."""
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        (self.cgroup / where / "cgroup.procs").write_text(str(os.getpid()))
        if where == "pod":
            self.enter_namespace()

    def enter_namespace(self):
        enter_namespace(self.namespace)

    def start(self, where, *words):
        """A program in the pod or in the server's place."""
        return subprocess.Popen([str(word) for word in words], stdout=subprocess.PIPE, text=True,
                                preexec_fn=lambda: self.enter(where))

    def start_server(self):
        server = self.start("server", FOLDER / "build/server", *SERVER)
        server.stdout.readline()
        return server


class Channel:
    """Lines of JSON between two processes."""

    def __init__(self, end):
        self.file = end.makefile("rw")
        self.end = end

    def say(self, value=None):
        self.file.write(json.dumps(value) + "\n")
        self.file.flush()

    def hear(self, seconds=20):
        if not select.select([self.end], [], [], seconds)[0]:
            raise TimeoutError("nothing heard")
        line = self.file.readline()
        if not line:
            raise EOFError("the other process ended")
        return json.loads(line)


class Role:
    """A function in a process of its own; its result, or its error, is heard by the parent."""

    def __init__(self, enter, function, *arguments):
        mine, its = socket.socketpair()
        self.pid = os.fork()
        if self.pid == 0:
            mine.close()
            channel = Channel(its)
            try:
                enter()
                channel.say({"result": function(*arguments)})
            except BaseException as error:  # the parent prints it
                channel.say({"error": f"{type(error).__name__}: {error}"})
            finally:
                os._exit(0)
        its.close()
        self.channel = Channel(mine)

    def result(self, seconds=30):
        try:
            answer = self.channel.hear(seconds)
        except (TimeoutError, EOFError) as error:
            answer = {"error": str(error)}
        self.kill()
        return answer

    def kill(self):
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.pid = 0
