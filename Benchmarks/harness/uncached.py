"""Figure 5: a token that has to be fetched, and how much of the wait is the agent's own."""

import statistics

from .load import TOKEN, visit
from .rows import judge, row
from .servers import Agent
from .tools import BenchError, say

PODS = 110
DELAYS = (0, 20)


def uncached_figure(stage, agent_path, options):
    """Pods ask one after the other, each for its first token, of an agent that has just been started."""
    stage.set_pods(PODS)
    agent = Agent(stage, agent_path)
    rows, distributions = [], {}
    for delay in DELAYS:
        totals, upstream, own, calls, cold = [], [], [], [], []
        for number in range(options.fetch_rounds):
            agent.start()
            stage.set_delay(delay)
            stage.take_upstream_requests()
            visits = visit(stage.pods, [TOKEN])
            requests = stage.take_upstream_requests()
            stage.set_delay(0)
            agent.stop()
            if any(one["statuses"] != [200] for one in visits):
                raise BenchError(f"not every pod got its token: {[one['statuses'] for one in visits][:5]}...")
            for index, one in enumerate(visits):
                spent, count = busy(requests, one["begin"], one["end"])
                total = one["milliseconds"][0]
                if index == 0:
                    cold.append(total)  # opens the connections to the upstreams
                    continue
                totals.append(total)
                upstream.append(spent)
                own.append(total - spent)
                calls.append(count)
        say(f"  {delay} ms: in all {statistics.median(totals):.2f} ms, upstreams {statistics.median(upstream):.2f} ms, "
            f"own {statistics.median(own):.2f} ms, {statistics.mean(calls):.2f} calls")
        label = f"uncached token, upstreams of {delay} ms"
        rows += [
            row(f"uncached-{delay}-total", f"{label}: in all, median", "ms", [statistics.median(totals)],
                better="lower"),
            judge(row(f"uncached-{delay}-own", f"{label}: the agent's share, median", "ms", [statistics.median(own)],
                      better="lower", target="<= 2 ms", reference="upstreams",
                      reference_values=[statistics.median(upstream)]), at_most=2),
            row(f"uncached-{delay}-own-p99", f"{label}: the agent's share, p99", "ms", [nearest(own, 99)],
                better="lower"),
            row(f"uncached-{delay}-cold", f"{label}: the very first, which opens the connections", "ms", cold,
                better="lower"),
        ]
        distributions[str(delay)] = {"own_ms": [nearest(own, percent) for percent in (10, 50, 90, 99)],
                                     "calls": statistics.mean(calls), "samples": len(own)}
    return {"rows": rows, "distributions": distributions}


def busy(requests, begin, end):
    """Milliseconds of [begin, end] during which an upstream had a request, and how many there were."""
    spans = sorted((request["begin"] / 1e6, request["end"] / 1e6) for request in requests
                   if request["begin"] / 1e6 >= begin - 0.001 and request["end"] / 1e6 <= end + 0.001)
    total, last = 0.0, 0.0
    for first, until in spans:
        total += max(0.0, until - max(first, last))
        last = max(last, until)
    return total * 1000, len(spans)


def nearest(values, percent):
    """The percentile by rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(percent / 100 * len(ordered)))]
