"""Figure 6: what an upgrade costs: a successor takes over while a pod of 110 asks, and all of them hold tokens."""

import json
import subprocess
import time

from .load import TOKEN, open_load, start_load, visit
from .restart import PODS, check
from .rows import judge, row
from .servers import Agent
from .tools import BenchError, say

# Far below what the agent can do, so that a request waits for the upgrade and for nothing else.
RATE = 500
SECONDS = 4
CONNECTIONS = 32
KINDS = {True: "keep-alive", False: "new connections"}


def upgrade_rows(stage, agent_path, options):
    """In turns: the agent answers from its cache, and it is replaced meanwhile."""
    stage.set_pods(PODS)
    agent = Agent(stage, agent_path)
    agent.start()
    check(visit(stage.pods, [TOKEN], together=True, retry=True))
    cached, replaced, slowest, calls, lost = ({kind: [] for kind in KINDS} for _ in range(5))
    for _ in range(options.restarts):
        for kind in KINDS:
            quiet = open_load(stage.pods[0], TOKEN, RATE, SECONDS, kind, CONNECTIONS)
            stage.take_upstream_requests()
            load = start_load(stage.pods[0], TOKEN, RATE, SECONDS, kind, CONNECTIONS)
            time.sleep(SECONDS / 4)
            agent = upgrade(stage, agent)
            answer = json.loads(load.stdout.read())
            load.wait()
            check(visit(stage.pods, [TOKEN], together=True, retry=True))
            cached[kind].append(quiet["p99_us"])
            replaced[kind].append(answer["p99_us"])
            slowest[kind].append(answer["curve"][-1][1])
            lost[kind].append(answer["errors"] + answer["other_status"] + answer["unfinished"])
            calls[kind].append(sum(1 for request in stage.take_upstream_requests() if is_minting(request)))
            say(f"  upgrade, {KINDS[kind]}: p99 {quiet['p99_us']:.0f} us cached, {answer['p99_us']:.0f} us meanwhile, slowest "
                f"{slowest[kind][-1] / 1000:.1f} ms, {lost[kind][-1]} without a token, {calls[kind][-1]} upstream calls")
    agent.stop()
    found = []
    for kind, name in KINDS.items():
        what, key = f"upgrade with {PODS} pods, {name}", f"upgrade-{'kept' if kind else 'new'}"
        found += [
            row(f"{key}-p99", f"{what}: 99th percentile meanwhile", "us", replaced[kind], reference="cached",
                reference_values=cached[kind], better="lower", tolerance=0.5),
            judge(row(f"{key}-slowest", f"{what}: the slowest request", "us", slowest[kind], reference="cached p99",
                      reference_values=cached[kind], better="lower", target="<= 3 x the cached p99", tolerance=1.0),
                  ratio_at_most=3),
            judge(row(f"{key}-lost", f"{what}: requests without a token", "", lost[kind], better="lower", target="0"), at_most=0),
        ]
    everything = calls[True] + calls[False]
    asked = row("upgrade-calls", f"upgrade with {PODS} pods that hold tokens: upstream calls for tokens", "calls", everything,
                better="lower", target="0")
    asked["met"] = max(everything) == 0
    return [*found, asked]


def is_minting(request):
    """Whether the call is for a token. ServiceAccounts are read within two seconds of each use, whoever runs."""
    return request["server"] != "kubernetes" or request["path"].partition("?")[0].endswith("/token")


def upgrade(stage, agent):
    """Starts a successor, and returns it once the agent has handed over and ended."""
    successor = Agent(stage, agent.executable)
    successor.launch()
    successor.wait_until_ready()
    try:
        status = agent.process.wait(timeout=30)
    except subprocess.TimeoutExpired:
        raise BenchError(f"the replaced agent did not end within 30 s; the new one's log: {successor.last_words()}") from None
    if status != 0:
        raise BenchError(f"the replaced agent ended with {status}")
    return successor
