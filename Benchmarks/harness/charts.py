"""The pictures of the README, made of results."""

import statistics
from math import log10

from .svg import COLOURS, HEIGHT, BOTTOM, LEFT, RIGHT, TOP, WIDTH, Chart, line, text

SCENES = ("10", "110", "500", "nested")
KINDS = (("new", "new connection", ""), ("keep", "keep-alive", "6 4"))


class Missing(Exception):
    """A picture's figure was not measured."""


def figure(results, key, field):
    try:
        return results["figures"][key][field]
    except KeyError:
        raise Missing(f"figure {key} has no {field}: run 'bench.py --only {key}'") from None


def subtitle(results, key):
    machine = results["machine"]
    date = results["figures"][key]["date"]
    return f"{machine['cores']} cores, {machine['processor']}, Linux {machine['kernel']}, {date}"


def by_scene(results, title, y_label, metric, kinds, logarithmic=False):
    """A line for each server and kind of connection over the scenes."""
    scenes = figure(results, "4", "scenes")
    names = [name for name in SCENES if name in scenes]
    values = [value for name in names for server in ("podidentd", "nginx") for kind, _, _ in kinds
              for value in scenes[name][server][metric.format(kind)]]
    chart = Chart(title, subtitle(results, "4"), y_label, min(values), max(values), logarithmic)
    chart.x_labels([scenes[name]["label"] for name in names])
    legend = []
    for server in ("nginx", "podidentd"):
        for kind, words, dash in kinds:
            points = []
            for position, name in enumerate(names):
                rounds = scenes[name][server][metric.format(kind)]
                x = chart.x(position, len(names))
                chart.range(x, min(rounds), max(rounds), COLOURS[server])
                points.append((x, statistics.median(rounds)))
            chart.polyline(points, COLOURS[server], dash)
            legend.append((f"{server}, {words}" if len(kinds) > 1 else server, COLOURS[server], dash))
    chart.legend(legend)
    chart.x_title("median and range of the rounds; both behind the same redirect")
    return chart.finish()


def requests_by_pods(results):
    return by_scene(results, "Cached tokens a second", "requests/s", "{}_rate", KINDS)


def latency_by_pods(results):
    return by_scene(results, "p99 at half of the agent's maximum load", "microseconds", "{}_p99_us", KINDS, True)


def memory_by_pods(results):
    memory = figure(results, "8", "memory")
    counts = [name for name in ("0", "110", "500") if name in memory]
    sizes = [memory[name]["resident"] / 1e6 for name in counts]
    limits = {"0": 25, "110": 29, "500": 45}
    chart = Chart("Resident memory, two tokens a pod", subtitle(results, "8"), "MB", 0,
                  max(sizes + [limits[name] for name in counts]))
    chart.x_labels([f"{name} pods" for name in counts])
    for position, name in enumerate(counts):
        x = chart.x(position, len(counts))
        anonymous = memory[name]["anonymous"] / 1e6
        chart.bar(x, 70, anonymous, COLOURS["podidentd"], "")
        chart.bar(x, 70, sizes[position], "#9cc3f5", f"{sizes[position]:.1f} MB", base=anonymous)
        y = chart.y(limits[name])
        chart.parts.append(line(x - 60, y, x + 60, y, "#b42318", 1.5, "4 3"))
    chart.legend([("its own", COLOURS["podidentd"], ""), ("mapped files", "#9cc3f5", ""), ("target", "#b42318", "4 3")])
    return chart.finish()


def latency_distribution(results, key="1", words="a new connection for each request"):
    """Percentiles on an axis of nines."""
    curves = figure(results, key, "curves")
    servers = [name for name in ("floor", "nginx", "podidentd") if name in curves]
    values = [value for name in servers for percent, value in curves[name] if 1 < percent < 100]
    chart = Chart(f"Latency at half of the agent's maximum: {words}", subtitle(results, key), "microseconds",
                  min(values), max(values), True)
    width = WIDTH - LEFT - RIGHT

    def place(percent):
        return LEFT + width * -log10(1 - percent / 100) / 4

    for percent, label in ((0, "0"), (50, "50 %"), (90, "90 %"), (99, "99 %"), (99.9, "99.9 %"), (99.99, "99.99 %")):
        x = place(percent)
        chart.parts += [line(x, TOP, x, HEIGHT - BOTTOM), text(min(x, WIDTH - 34), HEIGHT - BOTTOM + 18, label, 11)]
    for name in servers:
        points = [(place(percent), value) for percent, value in curves[name] if percent < 99.995]
        chart.polyline(points, COLOURS[name], dots=False)
    chart.legend([(name, COLOURS[name], "") for name in reversed(servers)])
    chart.x_title("percentile; latency counts from when a request was due, at the same rate for all")
    return chart.finish()


PICTURES = {
    "requests-by-pods.svg": requests_by_pods,
    "latency-by-pods.svg": latency_by_pods,
    "memory-by-pods.svg": memory_by_pods,
    "latency-new-connection.svg": latency_distribution,
    "latency-keep-alive.svg": lambda results: latency_distribution(results, "2", "keep-alive"),
}
