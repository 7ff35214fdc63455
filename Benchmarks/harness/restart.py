"""Figure 6: how long a restart is felt, and what it asks of the upstreams."""

import json
import time
from collections import Counter

from .load import TOKEN, start_load, start_visit, visit
from .rows import judge, row
from .servers import Agent, Supervised
from .tools import BenchError, say

PODS = 110
FEW = 10


def restart_rows(stage, agent_path, options):
    """The agent stops as the kubelet stops it; a pod asks all the while; then all pods ask at once, or only some."""
    stage.set_pods(PODS)
    agent = Agent(stage, agent_path)
    agent.start()
    visit(stage.pods, [TOKEN], together=True, retry=True)
    first, fresh, calls, few_calls = [], [], [], []
    for _ in range(options.restarts):
        first.append(restart(stage, agent))
        stage.take_upstream_requests()
        visits = visit(stage.pods, [TOKEN], together=True, retry=True)
        check(visits)
        fresh.append(max(one["end"] for one in visits) - min(one["begin"] for one in visits))
        requests = stage.take_upstream_requests()
        calls.append(len(requests))
        by_server = Counter(request["server"] for request in requests)
        say(f"  first answer after {first[-1] * 1000:.0f} ms; {PODS} tokens in {fresh[-1]:.2f} s, "
            f"upstream calls {dict(by_server)}")
        restart(stage, agent)
        stage.take_upstream_requests()
        check(visit(stage.pods[:FEW], [TOKEN], together=True, retry=True))
        few_calls.append(len(stage.take_upstream_requests()))
    agent.stop()
    answered = judge(row("restart-first", f"restart with {PODS} pods: start to first answer", "s", first,
                         better="lower", target="<= 0.3 s"), at_most=0.3)
    everyone = row("restart-all", f"{PODS} pods at once, each its first token", "s", fresh, better="lower")
    asked = row("restart-calls", f"upstream calls for {PODS} pods, without lists and watches", "calls", calls, better="lower",
                tolerance=0.1, compare=sorted(calls)[len(calls) // 2])
    some = row("restart-few", f"upstream calls when {FEW} of {PODS} pods ask", "calls", few_calls, better="lower",
               tolerance=0.2, target="only for pods that ask", compare=sorted(few_calls)[len(few_calls) // 2])
    # Three calls a token (TokenRequest, STS, IAM Credentials), and a few reads of the shared ServiceAccount.
    some["met"] = some["high"] <= 4 * FEW and asked["high"] <= 4 * PODS
    return [answered, everyone, asked, some]


def restart(stage, agent):
    """Seconds from the start of the new process to the first answer."""
    agent.stop()
    process = start_visit(stage.pods[0], "/")
    begin = agent.launch()
    answer = json.loads(process.stdout.read())
    process.wait()
    if answer["statuses"] != [200]:
        raise BenchError(f"no answer after a restart: {answer}; the agent's log: {agent.last_words()}")
    return answer["end"] - begin


# Requests a second, each on a connection of its own.
KILL_RATE = 1000
KILL_SECONDS = 4


def killed_rows(stage, agent_path, options):
    """The agent is killed under load, and its supervisor starts it again: connections wait in the meantime."""
    stage.set_pods(1)
    refused, lost, slowest = [], [], []
    for _ in range(min(options.restarts, 3)):
        # A supervisor of its own for each: from the third crash within a minute on it pauses.
        agent = Supervised(stage, agent_path)
        agent.start(TOKEN)
        load = start_load(stage.pods[0], TOKEN, KILL_RATE, KILL_SECONDS)
        time.sleep(KILL_SECONDS / 4)
        agent.crash()
        answer = json.loads(load.stdout.read())
        load.wait()
        refused.append(answer["refused"])
        lost.append(answer["errors"] + answer["other_status"] + answer["unfinished"] - answer["refused"])
        slowest.append(answer["curve"][-1][1] / 1e6)
        say(f"  killed at {KILL_RATE}/s: {refused[-1]} refused, {lost[-1]} others without a token, slowest {slowest[-1]:.2f} s")
        visit(stage.pods, [TOKEN], retry=True)
        agent.stop()
    what = f"kill -9 under {KILL_RATE} requests/s"
    none = row("killed-refused", f"{what}: connections refused", "", refused, better="lower", target="0")
    none["met"] = max(refused) == 0
    return [none, row("killed-lost", f"{what}: requests in the agent's hands", "", lost, better="lower", tolerance=0.5),
            row("killed-slowest", f"{what}: the longest that one waited", "s", slowest, better="lower", tolerance=0.5)]


def check(visits):
    if any(one["statuses"] != [200] for one in visits):
        raise BenchError(f"not every pod got its token: {Counter(str(one['statuses']) for one in visits)}")
