"""Figure 5: a token that has to be fetched, and how much of the wait is the agent's own."""

import json
import statistics
import subprocess
import sys

from . import exchange
from .load import TOKEN, visit
from .rows import judge, row
from .servers import Agent
from .tools import BenchError, say

PODS = 110
DELAYS = (0, 20)


class Reference:
    """The bare client on the stage's node."""

    def __init__(self, stage):
        self.process = stage.start_on_node(
            [sys.executable, exchange.__file__, stage.node["configuration"]], text=True, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE)

    def mint(self, pod):
        """Milliseconds."""
        self.process.stdin.write(json.dumps(pod) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise BenchError("the bare client has ended; its last words are above")
        return float(line)

    def close(self):
        self.process.stdin.close()
        self.process.wait(timeout=30)


def uncached_figure(stage, agent_path, options):
    """
    Pods ask one after the other, each for its first token, of an agent that has just been started. After each the bare
    client makes the same calls for the same pod, so that both meet the same machine.
    """
    stage.set_pods(PODS)
    agent = Agent(stage, agent_path)
    rows, distributions = [], {}
    for delay in DELAYS:
        totals, references, calls, cold = [], [], [], []
        for number in range(options.fetch_rounds):
            agent.start()
            reference = Reference(stage)
            stage.set_delay(delay)
            for index, pod in enumerate(stage.pods):
                stage.take_upstream_requests()
                one = visit([pod], [TOKEN])[0]
                if one["statuses"] != [200]:
                    raise BenchError(f"a pod got no token: {one['statuses']}; the agent's log: {agent.last_words()}")
                made = len(stage.take_upstream_requests())
                bare = reference.mint(pod)
                if index == 0:
                    cold.append(one["milliseconds"][0])  # opens the connections to the upstreams
                    continue
                totals.append(one["milliseconds"][0])
                references.append(bare)
                calls.append(made)
            stage.set_delay(0)
            reference.close()
            agent.stop()
        own = [total - bare for total, bare in zip(totals, references)]
        say(f"  {delay} ms: in all {statistics.median(totals):.2f} ms, the calls alone "
            f"{statistics.median(references):.2f} ms, own {statistics.median(own):.2f} ms, "
            f"{statistics.mean(calls):.2f} calls")
        label = f"uncached token, upstreams of {delay} ms"
        rows += [
            row(f"uncached-{delay}-total", f"{label}: in all, median", "ms", [statistics.median(totals)],
                better="lower", reference="the calls alone", reference_values=[statistics.median(references)]),
            judge(row(f"uncached-{delay}-own", f"{label}: the agent's share, median", "ms", [statistics.median(own)],
                      better="lower", target="<= 2 ms"), at_most=2),
            row(f"uncached-{delay}-own-p99", f"{label}: the agent's share, p99", "ms", [nearest(own, 99)],
                better="lower"),
            row(f"uncached-{delay}-cold", f"{label}: the very first, which opens the connections", "ms", cold,
                better="lower"),
        ]
        distributions[str(delay)] = {"own_ms": [nearest(own, percent) for percent in (10, 50, 90, 99)],
                                     "calls": statistics.mean(calls), "samples": len(own)}
    return {"rows": rows, "distributions": distributions}


def nearest(values, percent):
    """The percentile by rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(percent / 100 * len(ordered)))]
