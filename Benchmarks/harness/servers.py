"""What answers on the stage's node: the agent that is measured, and its references."""

import os
import shutil
import subprocess
import time

from .load import visit
from .tools import BenchError, run


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
            [self.executable, "run", "--config", self.stage.node["configuration"]], stdout=log, stderr=log)
        log.close()
        return begin

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
                if "] ready" in log.read():
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


class Nginx:
    """Debian's nginx where the redirect points: the same address, port, hooks and body, another server."""

    name = "nginx"

    def __init__(self, stage, body):
        self.stage = stage
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
    listen {stage.node['address']}:{stage.node['port']} backlog=4096;
    location / {{ default_type application/json; add_header Metadata-Flavor Google; return 200 '{quoted}'; }}
  }}
}}
""")
        self.process = None

    def start(self, path="/"):
        self.process = self.stage.start_on_node(
            [shutil.which("nginx"), "-c", self.directory + "/nginx.conf"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        answer = visit(self.stage.pods[:1], [path], retry=True)[0]
        if answer["statuses"][-1] != 200:
            raise BenchError(f"nginx does not answer through the redirect: {answer['statuses']}")

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=30)

    def processes(self):
        children = open(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read().split()
        return [self.process.pid, *map(int, children)]


class Floor:
    """The bare accept loop, at the same place."""

    name = "floor"

    def __init__(self, stage, body, executable):
        self.stage = stage
        self.executable = executable
        self.body = stage.node["directory"] + "/body"
        with open(self.body, "w") as file:
            file.write(body)
        self.process = None

    def start(self, path="/"):
        node = self.stage.node
        self.process = self.stage.start_on_node(
            [self.executable, "--listen", f"{node['address']}:{node['port']}", "--body-file", self.body,
             "--threads", str(os.cpu_count())])
        visit(self.stage.pods[:1], [path], retry=True)

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=30)

    def processes(self):
        return [self.process.pid]
