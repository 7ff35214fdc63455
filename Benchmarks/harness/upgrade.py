"""Figure 6: what an upgrade costs: a successor takes over while a pod of 110 asks, and all of them hold tokens."""

import json
import statistics
import subprocess
import sys
import time
from collections import Counter

from .load import TOKEN, open_load, start_load, visit
from .process import cpu_seconds
from .restart import PODS, check
from .rows import judge, row
from .servers import Agent
from .tools import BenchError, say

# Far below what the agent can do, so that a request waits for the upgrade and for nothing else.
RATE = 500
SECONDS = 4
CONNECTIONS = 32
KINDS = {True: "keep-alive", False: "new connections"}
# Computes until it has had so many seconds of a processor, its own start among them.
NEUTRAL = "import sys, time\nwhile time.process_time() < float(sys.argv[1]): pass"


def upgrade_rows(stage, agent_path, options):
    """
    In turns: the agent answers from its cache; it is replaced meanwhile; it is not, and another process computes as long as the successor
    did until it served. At a round's end the agent starts again with nothing.
    """
    stage.set_pods(PODS)
    agent = Agent(stage, agent_path)
    agent.start()
    check(visit(stage.pods, [TOKEN], together=True, retry=True))
    found = {kind: {name: [] for name in ("cached", "replaced", "slowest", "lost", "beside")} for kind in KINDS}
    computed, upgrades, starts = [], [], []
    for _ in range(options.restarts):
        for kind in KINDS:
            quiet = open_load(stage.pods[0], TOKEN, RATE, SECONDS, kind, CONNECTIONS)
            answer, (agent, seconds), calls = meanwhile(stage, kind, lambda: upgrade(stage, agent))
            beside, _, _ = meanwhile(stage, kind, lambda: compute(stage, seconds))
            values = {"cached": quiet["p99_us"], "replaced": answer["p99_us"], "slowest": answer["curve"][-1][1],
                      "lost": answer["errors"] + answer["other_status"] + answer["unfinished"], "beside": beside["curve"][-1][1]}
            for name, value in values.items():
                found[kind][name].append(value)
            computed.append(seconds)
            upgrades.append(calls)
            say(f"  upgrade, {KINDS[kind]}: p99 {values['cached']:.0f} us cached, {values['replaced']:.0f} us meanwhile, slowest "
                f"{values['slowest'] / 1000:.1f} ms, {values['lost']} without a token, upstream calls {by_kind([calls])}; beside a process "
                f"that computes {seconds:.2f} s the slowest takes {values['beside'] / 1000:.1f} ms")
        _, _, calls = meanwhile(stage, False, lambda: begin_cold(agent))
        starts.append(calls)
        say(f"  start without a hand-over: upstream calls {by_kind([calls])}")
    agent.stop()
    return rows_of(found, computed, upgrades, starts)


def meanwhile(stage, kind, work):
    """
    Does `work` while a pod asks, and lets every pod have its token then. Returns what the load says, what `work` returns, and the
    upstreams' calls by kind.
    """
    stage.take_upstream_requests()
    load = start_load(stage.pods[0], TOKEN, RATE, SECONDS, kind, CONNECTIONS)
    time.sleep(SECONDS / 4)
    done = work()
    answer = json.loads(load.stdout.read())
    load.wait()
    check(visit(stage.pods, [TOKEN], together=True, retry=True))
    return answer, done, Counter(map(call_kind, stage.take_upstream_requests(everything=True)))


def rows_of(found, computed, upgrades, starts):
    """The rows of what was measured: by kind of connection, the successors' processor seconds, and calls by kind."""
    rows = []
    for kind, name in KINDS.items():
        what, key, values = f"upgrade with {PODS} pods, {name}", f"upgrade-{'kept' if kind else 'new'}", found[kind]
        rows += [
            row(f"{key}-p99", f"{what}: 99th percentile meanwhile", "us", values["replaced"], reference="cached",
                reference_values=values["cached"], better="lower", tolerance=0.5),
            judge(row(f"{key}-slowest", f"{what}: the slowest request", "us", values["slowest"], reference="cached p99",
                      reference_values=values["cached"], better="lower", target="<= 3 x the cached p99", tolerance=1.0),
                  ratio_at_most=3),
            row(f"{key}-control", f"no upgrade, {name}: the slowest request beside a process that computes as long as a start, "
                f"{statistics.median(computed):.2f} s", "us", values["beside"], reference="cached p99",
                reference_values=values["cached"], better="lower", tolerance=3.0),
            judge(row(f"{key}-lost", f"{what}: requests without a token", "", values["lost"], better="lower", target="0"), at_most=0),
        ]
    minting = [sum(calls[kind] for kind in MINTING) for calls in upgrades]
    what = f"upgrade with {PODS} pods that hold tokens"
    asked = row("upgrade-calls", f"{what}: upstream calls for tokens", "calls", minting, better="lower", target="0")
    asked["met"] = max(minting) == 0
    after, before = ([sum(calls.values()) for calls in counts] for counts in (upgrades, starts))
    everything = row("upgrade-all-calls", f"{what}: all upstream calls ({by_kind(upgrades)})", "calls", after,
                     reference=f"a start without a hand-over ({by_kind(starts)})", reference_values=before,
                     ratios=[statistics.median(after) / number for number in before], better="lower", tolerance=1.0)
    return [*rows, asked, everything]


# The calls for a token.
MINTING = ("TokenRequests", "STS", "IAM Credentials")


def call_kind(request):
    """The kind of an upstream call. ServiceAccounts are read within two seconds of each use, whoever runs."""
    if request["server"] != "kubernetes":
        return {"sts": "STS", "iam": "IAM Credentials"}[request["server"]]
    if request["watch"]:
        return "watches"
    path = request["path"]
    if path.endswith("/token"):
        return "TokenRequests"
    if path == "/api/v1/pods":
        return "pod lists"
    return next((kind for part, kind in (("/serviceaccounts/", "account reads"), ("/nodes/", "node reads"), ("/events", "events"))
                 if part in path), "others")


def by_kind(counts):
    """Each kind's median, the largest first."""
    medians = {kind: statistics.median(calls[kind] for calls in counts) for kind in set().union(*counts)}
    return ", ".join(f"{kind} {median:g}" for kind, median in sorted(medians.items(), key=lambda entry: (-entry[1], entry[0])) if median)


def compute(stage, seconds):
    """Lets a process of the node compute, where an agent would start."""
    process = stage.start_on_node([sys.executable, "-c", NEUTRAL, f"{seconds:.3f}"])
    if process.wait(timeout=60) != 0:
        raise BenchError(f"the process that was to compute ended with {process.returncode}")


def begin_cold(agent):
    """Stops the agent, which keeps nothing then, and starts it again."""
    agent.stop()
    agent.launch()
    agent.wait_until_ready()


def upgrade(stage, agent):
    """Starts a successor; returns it once the agent has handed over and ended, and its processor seconds until it was ready."""
    successor = Agent(stage, agent.executable)
    successor.launch()
    successor.wait_until_ready()
    seconds = cpu_seconds(successor.processes())
    try:
        status = agent.process.wait(timeout=30)
    except subprocess.TimeoutExpired:
        raise BenchError(f"the replaced agent did not end within 30 s; the new one's log: {successor.last_words()}") from None
    if status != 0:
        raise BenchError(f"the replaced agent ended with {status}")
    return successor, seconds
