"""What answers a pod at the metadata address: the agent that is measured, and its references."""

import glob
import os
import re
import shutil
import signal
import struct
import subprocess
import time

from .load import visit
from .stage import Stage
from .tools import BASELINE, BenchError, run


class Agent:
    """The agent under test, as a process of its own on the node."""

    name = "podidentd"

    def __init__(self, stage, executable):
        self.stage = stage
        self.executable = executable
        self.process = None

    @property
    def pid(self):
        return self.process.pid

    def launch(self):
        """Starts it without waiting; returns the moment, in seconds since 1970."""
        log = open(self.stage.node["directory"] + "/agent.log", "w")
        begin = time.time()
        self.process = self.stage.start_on_node(
            self.command(), stdout=log, stderr=log)
        log.close()
        return begin

    def command(self):
        return [self.executable, "run", "--config", self.stage.node["configuration"]]

    def start(self, path="/"):
        """Starts it and waits until it answers `path`."""
        self.launch()
        self.wait_until_ready()
        answer = visit(self.stage.pods[:1], [path], retry=True)[0] if self.stage.pods else None
        if answer and answer["statuses"][-1] != 200:
            raise BenchError(f"the agent does not answer {path}: {answer['statuses']}; its log: {self.last_words()}")

    def wait_until_ready(self):
        """Until its log says so. A pod that asked while hooks are being attached for the first time would meet half."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and self.process.poll() is None:
            with open(self.stage.node["directory"] + "/agent.log", errors="replace") as log:
                # 2d21139 says "ready", and this build "agent ready".
                if re.search(r"\] (agent )?ready", log.read()):
                    return
            time.sleep(0.005)
        raise BenchError(f"the agent was not ready within 20 s; its log: {self.last_words()}")

    def last_words(self):
        with open(self.stage.node["directory"] + "/agent.log", errors="replace") as log:
            return " / ".join(log.read().splitlines()[-3:])

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def uninstall(self):
        """Detaches every hook."""
        run(self.executable, "uninstall", "--pin-directory", self.stage.node["pin_directory"])

    def processes(self):
        return [self.pid]


class Supervised(Agent):
    """The agent below the container's first process, which starts it again when it has crashed."""

    def command(self):
        return [os.path.join(os.path.dirname(self.executable), "podidentd-init"), *super().command()]

    def crash(self):
        """Kills the agent, not its supervisor."""
        children = open(f"/proc/{self.pid}/task/{self.pid}/children").read().split()
        os.kill(int(children[0]), signal.SIGKILL)


class Before(Agent):
    """
    The build that everything is compared with, in a checkout with its release build: an agent on a node of its own lab.
    Neither agent serves the pods of the other's node, so that only one of them has its hooks attached.
    """

    name = BASELINE

    def __init__(self, tree, rival):
        release = os.path.join(tree, ".build-release", "release")
        super().__init__(Stage(os.path.join(release, "podidentd-lab")), os.path.join(release, "podidentd"))
        self.rival = rival
        self.pod = self.stage.set_pods(10)[0]
        self.stage.free_ports(self.pod)

    def start(self, path="/"):
        self.rival.uninstall()
        super().start(path)

    def stop(self):
        super().stop()
        self.uninstall()
        # The references need its hooks.
        self.rival.start()
        self.rival.stop()

    def close(self):
        self.stage.close()


# One that the agent does not use.
REFERENCE_PORT = 979
# struct nid_listener: the port, its state (open), its families (IPv4).
LISTENER = struct.Struct("<HBBI")


class InPod:
    """A server in the pod's network namespace in the agent's place: behind the same redirect, by the same hooks."""

    name = "?"

    def __init__(self, stage, pod):
        self.stage = stage
        self.pod = pod
        self.process = None

    def launch(self, arguments, path):
        network = ["nsenter", f"--net={self.pod['network']}", "--"]
        self.process = self.stage.start(
            network + arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        cookie = run(*network, "python3", "-c",
                     "import socket; print(socket.socket().getsockopt(socket.SOL_SOCKET, 71, 8).hex(' '))").split()
        maps = glob.glob(self.stage.node["pin_directory"] + "/maps-v*/nid_listeners")
        if len(maps) != 1:
            raise BenchError("there is no table of listeners: has an agent of this version run on this node?")
        value = LISTENER.pack(REFERENCE_PORT, 1, 1, 0).hex(" ").split()
        run("bpftool", "map", "update", "pinned", maps[0], "key", "hex", *cookie, "value", "hex", *value)
        answer = visit([self.pod], [path], retry=True)[0]
        if answer["statuses"][-1] != 200:
            raise BenchError(f"{self.name} does not answer through the redirect: {answer['statuses']}")

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=30)

    def processes(self):
        children = open(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read().split()
        return [self.process.pid, *map(int, children)]


class Nginx(InPod):
    """Debian's nginx: the same address, hooks and body, another server."""

    name = "nginx"

    def __init__(self, stage, pod, body):
        super().__init__(stage, pod)
        self.directory = stage.node["directory"] + "/nginx"
        os.makedirs(self.directory, exist_ok=True)
        quoted = body.replace("\\", "\\\\").replace("'", "\\'").replace("$", "${dollar}")
        with open(self.directory + "/nginx.conf", "w") as file:
            file.write(f"""
worker_processes auto; daemon off; pid {self.directory}/pid; error_log {self.directory}/error;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 1000000000; server_tokens off;
  geo $dollar {{ default "$"; }}
  server {{
    listen 127.0.0.1:{REFERENCE_PORT} backlog=4096;
    location / {{ default_type application/json; add_header Metadata-Flavor Google; return 200 '{quoted}'; }}
  }}
}}
""")

    def start(self, path="/"):
        self.launch([shutil.which("nginx"), "-c", self.directory + "/nginx.conf"], path)


class Floor(InPod):
    """The bare accept loop, at the same place."""

    name = "floor"

    def __init__(self, stage, pod, body, executable):
        super().__init__(stage, pod)
        self.executable = executable
        self.body = stage.node["directory"] + "/body"
        with open(self.body, "w") as file:
            file.write(body)

    def start(self, path="/"):
        self.launch([self.executable, "--listen", f"127.0.0.1:{REFERENCE_PORT}", "--body-file", self.body, "--threads",
                     str(os.cpu_count())], path)
