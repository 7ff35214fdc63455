"""Figure 6: how long a restart is felt, and what it asks of the upstreams."""

import json
from collections import Counter

from .load import TOKEN, start_visit, visit
from .rows import judge, row
from .servers import Agent
from .tools import BenchError, say

PODS = 110
FEW = 10


def restart_figure(stage, agent_path, options):
    """The agent stops as the kubelet stops it; a pod asks all the while; then all pods ask at once, or only some."""
    stage.set_pods(PODS)
    agent = Agent(stage, agent_path)
    agent.start()
    visit(stage.pods, [TOKEN], together=True, retry=True)
    first, fresh, calls, few_calls = [], [], [], []
    for _ in range(options.restarts):
        first.append(restart(stage, agent))
        stage.take_upstream_requests()
        visits = visit(stage.pods, [TOKEN], together=True)
        check(visits)
        fresh.append(max(one["end"] for one in visits) - min(one["begin"] for one in visits))
        requests = stage.take_upstream_requests()
        calls.append(len(requests))
        by_server = Counter(request["server"] for request in requests)
        say(f"  first answer after {first[-1] * 1000:.0f} ms; {PODS} tokens in {fresh[-1]:.2f} s, "
            f"upstream calls {dict(by_server)}")
        restart(stage, agent)
        stage.take_upstream_requests()
        check(visit(stage.pods[:FEW], [TOKEN], together=True))
        few_calls.append(len(stage.take_upstream_requests()))
    agent.stop()
    answered = judge(row("restart-first", f"restart with {PODS} pods: start to first answer", "s", first,
                         better="lower", target="<= 0.3 s"), at_most=0.3)
    everyone = row("restart-all", f"{PODS} pods at once, each its first token", "s", fresh, better="lower")
    asked = row("restart-calls", f"upstream calls for {PODS} pods", "calls", calls, better="lower", tolerance=0.1,
                compare=sorted(calls)[len(calls) // 2])
    some = row("restart-few", f"upstream calls when {FEW} of {PODS} pods ask", "calls", few_calls, better="lower",
               tolerance=0.2, target="only for pods that ask", compare=sorted(few_calls)[len(few_calls) // 2])
    # Three calls a token (TokenRequest, STS, IAM Credentials), and a few reads of the shared ServiceAccount.
    some["met"] = some["high"] <= 4 * FEW and asked["high"] <= 4 * PODS
    return {"rows": [answered, everyone, asked, some]}


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


def check(visits):
    if any(one["statuses"] != [200] for one in visits):
        raise BenchError(f"not every pod got its token: {Counter(str(one['statuses']) for one in visits)}")
