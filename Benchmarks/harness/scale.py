"""Figure 4: the same with many pods, and from a pod of many cgroups."""

from .rows import row
from .stage import Stage
from .throughput import Scene, series
from .tools import say

NESTED = 5000
SERVERS = ("podidentd", "nginx")


def scale_scenes(lab, agent_path, options):
    """
    Every scene is a node of its own, and all are there at once: in each round they take turns, so that what a machine
    does to one it does to all. Each has its own nginx, since a bridge with 500 ports is slower for every server.
    """
    stages, scenes, measured = [], {}, {}
    try:
        for name in options.scenes:
            stages.append(Stage(lab))
            scenes[name] = open_scene(stages[-1], agent_path, name)
            measured[name] = {server: [] for server in SERVERS}
        for number in range(options.rounds):
            first = number % len(options.scenes)
            for name in options.scenes[first:] + options.scenes[:first]:
                # All scenes bear the same load.
                scenes[name].rates = scenes[options.scenes[0]].rates
                for subject in scenes[name].subjects:
                    taken = scenes[name].turn(subject, options.scale_seconds, options.scale_idle_seconds)
                    measured[name][subject.name].append(taken)
                    say(f"  round {number + 1} {name:>6} {subject.name:10} new {taken['new']['rate']:8.0f}/s   "
                        f"keep-alive {taken['keep']['rate']:8.0f}/s   idle p99 {taken['idle']['p99_us']:6.0f} us")
    finally:
        for stage in stages:
            stage.close()
    return {name: {
        "label": f"1 pod of {NESTED:,} cgroups" if name == "nested" else f"{name} pods",
        **{server: {
            "new_rate": series(measured[name], server, "new", "rate"),
            "keep_rate": series(measured[name], server, "keep", "rate"),
            "new_p99_us": series(measured[name], server, "new", "half", "p99_us"),
            "keep_p99_us": series(measured[name], server, "keep", "half", "p99_us"),
            "idle_p99_us": series(measured[name], server, "idle", "p99_us"),
        } for server in SERVERS},
    } for name in options.scenes}


def open_scene(stage, agent_path, name):
    """A node with its pods and servers, none of which runs."""
    stage.set_pods(10 if name == "nested" else int(name))
    pod = stage.pods[-1]
    procs = stage.nest(pod, NESTED) if name == "nested" else None
    return Scene(stage, agent_path, pod, procs, with_floor=False)


def scale_rows(scenes):
    """What remains of the 10-pod figure."""
    rows = []
    base = scenes.get("10")
    for name in ("110", "500", "nested"):
        scene = scenes.get(name)
        if not scene or not base:
            continue
        for metric, what, unit, better in (("new_rate", "new connection", "requests/s", "higher"),
                                           ("keep_rate", "keep-alive", "requests/s", "higher"),
                                           ("idle_p99_us", "GET / p99", "us", "lower")):
            entry = row(f"scale-{name}-{metric}", f"{scene['label']}: {what}", unit, scene["podidentd"][metric],
                        reference="10 pods", reference_values=base["podidentd"][metric],
                        target="within 5 % of 10 pods", better=better, tolerance=0.15 if better == "higher" else 0.5)
            middle = entry["ratio"]["median"]
            entry["met"] = middle >= 0.95 if better == "higher" else middle <= 1.05
            rows.append(entry)
    return rows
