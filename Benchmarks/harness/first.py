"""The first connection in a network namespace that the agent did not know, and the end of one: part of figure 6."""

import glob
import json
import os
import queue
import re
import signal
import statistics
import subprocess
import threading
import time

from .load import visit
from .rows import judge, row
from .servers import Agent
from .tools import ROOT, BenchError, program, run, say

# One connection that is held on purpose for so many fresh pods, and one pod whose end is watched.
FRESH_PER_HELD = 10
FRESH_PER_END = 2


def held(stage):
    """How many connections began before their namespace had a listener, by the kernel's count."""
    with open(os.path.join(ROOT, "bpf", "include", "podidentd_abi.h")) as file:
        index = int(re.search(r"NID_STAT_HELD = (\d+)", file.read())[1])
    table = glob.glob(stage.node["pin_directory"] + "/maps-v*/nid_stats")[0]
    entry = json.loads(run("bpftool", "-j", "map", "lookup", "pinned", table, "key", index, 0, 0, 0))
    return sum(int.from_bytes(bytes(int(byte, 16) for byte in one["value"]), "little") for one in entry["values"])


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * share))]


def namespace_words(stage, pod):
    """A process of the pod that makes a namespace, is executed there, and connects at once."""
    script = 'unshare -n sh -c \'ip link set lo up && echo "- -" | exec "$0" --path /\' "$0"'
    return stage.inside_pod(pod, ["sh", "-c", script, program("visit")])


def fresh_namespaces(stage, pods):
    """Milliseconds until such a process is answered."""
    return [json.loads(run(*namespace_words(stage, pod)))["milliseconds"][0] for pod in pods]


def opener(agent):
    """The process that opens listeners for the agent."""
    with open(f"/proc/{agent.pid}/task/{agent.pid}/children") as file:
        children = file.read().split()
    for child in children:
        with open(f"/proc/{child}/comm") as file:
            # The kernel keeps 15 characters.
            if file.read() == "podidentd-opene\n":
                return int(child)
    raise BenchError("the agent has no podidentd-opener among its children")


def held_connection(stage, process, pod):
    """Milliseconds until the same process is answered if the opener is stopped until the kernel holds its connection."""
    before = held(stage)
    deadline = time.monotonic() + 5
    os.kill(process, signal.SIGSTOP)
    try:
        visitor = subprocess.Popen(namespace_words(stage, pod), text=True, stdout=subprocess.PIPE)
        while held(stage) == before:
            if time.monotonic() > deadline:
                raise BenchError("no connection was held within 5 s, although the opener was stopped")
    finally:
        os.kill(process, signal.SIGCONT)
    answer = json.loads(visitor.communicate()[0])
    if answer["statuses"] != [200]:
        raise BenchError(f"a connection that was held got no answer: {answer['statuses']}")
    return answer["milliseconds"][0]


def deleted_device(line):
    """The number of the device that a line of `ip -o monitor link` says is gone; None: it says something else."""
    found = re.match(r"Deleted (\d+): ", line)
    # A bridge reports first that it has lost the device.
    return int(found[1]) if found and " master " not in line else None


class Devices:
    """When network devices of a namespace go, as the kernel reports it. Used with `with`."""

    def __init__(self, namespace):
        self.namespace = namespace
        self.gone = queue.Queue()
        self.process = subprocess.Popen(["ip", "-o", "-n", namespace, "monitor", "link"], text=True, stdout=subprocess.PIPE)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            number = deleted_device(line)
            if number is not None:
                self.gone.put((number, time.monotonic()))

    def __enter__(self):
        # What goes before the monitor listens is not reported.
        for _ in range(10):
            run("ip", "-n", self.namespace, "link", "add", "watched0", "type", "veth", "peer", "name", "watched1")
            run("ip", "-n", self.namespace, "link", "del", "watched0")
            try:
                self.gone.get(timeout=1)
                return self
            except queue.Empty:
                pass
        self.__exit__()
        raise BenchError("'ip monitor link' reports no device that goes")

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def wait(self, number):
        """The moment at which a device went."""
        while True:
            try:
                gone, moment = self.gone.get(timeout=30)
            except queue.Empty:
                raise BenchError("a pod's network namespace was still there 30 s after its last process") from None
            if gone == number:
                return moment


def end_processes(pod):
    """Kills a pod's processes. Returns the moment at which none was left."""
    with open(pod["procs"]) as file:
        processes = file.read().split()
    for process in processes:
        os.kill(int(process), signal.SIGKILL)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with open(pod["cgroup"] + "/cgroup.events") as file:
            if "populated 0" in file.read():
                return time.monotonic()
    raise BenchError("a pod's processes did not end within 10 s")


def freed_namespaces(stage, pods):
    """Milliseconds from the end of a pod's last process to that of its network namespace, which the agent has a listener in.

    The pod's cgroup stays: with its removal, which the kubelet begins soon after, the agent closes the listener at once.
    """
    times = []
    visit(pods, ["/"])
    with Devices(os.path.basename(stage.node["network"])) as devices:
        for pod in pods:
            name = os.path.basename(pod["network"])
            # The end of the pair that lies in the node goes with the namespace of the other.
            device = json.loads(run("ip", "-n", name, "-j", "link", "show", "eth0"))[0]["link_index"]
            # Without its name the pod's processes and the agent's listeners alone keep it.
            run("ip", "netns", "delete", name)
            begin = end_processes(pod)
            times.append((devices.wait(device) - begin) * 1000)
    return times


def new_pods(stage, count):
    """Pods that the agent has not met, beside the one that was there."""
    stage.set_pods(1)
    return stage.set_pods(count + 1)[1:]


def first_rows(stage, agent_path, options):
    stage.set_pods(1)
    agent = Agent(stage, agent_path)
    agent.start()
    rows = []

    def add(entry):
        rows.append(entry)
        say(f"  {entry['what']}: {entry['median']:.2f} ms")

    try:
        for identifier, what, measure in (
                ("first-connect", "first connection of a fresh pod",
                 lambda pods: [one["milliseconds"][0] for one in visit(pods, ["/"])]),
                ("first-at-once", "of a process that connects as soon as it is executed in a new namespace",
                 lambda pods: fresh_namespaces(stage, pods))):
            pods = new_pods(stage, options.fresh_pods)
            before = held(stage)
            times = measure(pods)
            share = (held(stage) - before) / len(times)
            entry = row(identifier, f"{what}: 99th percentile, median {statistics.median(times):.2f} ms, held {share:.0%}",
                        "ms", [percentile(times, 0.99)], better="lower", tolerance=0.5,
                        target="<= 5 ms" if identifier == "first-connect" else "")
            add(judge(entry, at_most=5) if identifier == "first-connect" else entry)
        process = opener(agent)
        times = [held_connection(stage, process, pod) for pod in new_pods(stage, options.fresh_pods // FRESH_PER_HELD)]
        add(row("first-held", f"of one that is held, for the opener is stopped until then: 99th percentile of {len(times)}, median "
                f"{statistics.median(times):.0f} ms", "ms", [percentile(times, 0.99)], better="lower", tolerance=0.5))
        times = freed_namespaces(stage, new_pods(stage, options.fresh_pods // FRESH_PER_END))
        add(judge(row("namespace-freed", "a pod's network namespace, from the end of the pod's last process to its own: 99th "
                      f"percentile, median {statistics.median(times):.0f} ms", "ms", [percentile(times, 0.99)], better="lower",
                      tolerance=0.5, target="<= 1000 ms"), at_most=1000))
    finally:
        agent.stop()
    return rows
