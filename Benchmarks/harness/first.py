"""The first connection in a network namespace that the agent did not know: part of figure 6."""

import glob
import json
import os
import re
import statistics

from .load import visit
from .rows import judge, row
from .servers import Agent
from .tools import ROOT, program, run, say


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


def fresh_namespaces(stage, pods):
    """Milliseconds until a process is answered that makes a namespace, is executed there, and connects at once."""
    script = 'unshare -n sh -c \'ip link set lo up && echo "- -" | exec "$0" --path /\' "$0"'
    times = []
    for pod in pods:
        line = run(*stage.inside_pod(pod, ["sh", "-c", script, program("visit")]))
        times.append(json.loads(line)["milliseconds"][0])
    return times


def first_rows(stage, agent_path, options):
    stage.set_pods(1)
    agent = Agent(stage, agent_path)
    agent.start()
    rows = []
    try:
        for identifier, what, measure in (
                ("first-connect", "first connection of a fresh pod",
                 lambda pods: [one["milliseconds"][0] for one in visit(pods, ["/"])]),
                ("first-at-once", "of a process that connects as soon as it is executed in a new namespace",
                 lambda pods: fresh_namespaces(stage, pods))):
            stage.set_pods(1)
            before = held(stage)
            pods = stage.set_pods(options.fresh_pods + 1)[1:]
            times = measure(pods)
            share = (held(stage) - before) / len(times)
            entry = row(identifier, f"{what}: 99th percentile, median {statistics.median(times):.2f} ms, held {share:.0%}",
                        "ms", [percentile(times, 0.99)], better="lower", tolerance=0.5,
                        target="<= 5 ms" if identifier == "first-connect" else "")
            rows.append(judge(entry, at_most=5) if identifier == "first-connect" else entry)
            say(f"  {entry['what']}: {entry['median']:.2f} ms")
    finally:
        agent.stop()
    return rows
