"""Figure 4: the same with many pods, and from a pod of many cgroups."""

import statistics

from .rows import row
from .throughput import Scene, series
from .tools import say

NESTED = 5000


def scale_scene(stage, agent_path, options, name):
    """
    One scene. Each has its own nginx rounds, and what is compared between scenes is the ratio to that nginx: the
    machine may have become slower meanwhile, and a bridge with 500 ports is slower for every server.
    """
    say(f"  {name}")
    pods = 10 if name == "nested" else int(name)
    stage.set_pods(pods)
    pod = stage.pods[-1]
    procs = stage.nest(pod, NESTED) if name == "nested" else None
    measured = Scene(stage, agent_path, pod, procs, with_floor=False).rounds(
        options.rounds, options.scale_seconds, options.scale_idle_seconds)
    if procs:
        stage.set_pods(9)  # takes the cgroups away
    return {
        "label": f"1 pod of {NESTED:,} cgroups" if name == "nested" else f"{pods} pods",
        "pods": pods,
        **{subject: {
            "new_rate": series(measured, subject, "new", "rate"),
            "keep_rate": series(measured, subject, "keep", "rate"),
            "new_p99_us": series(measured, subject, "new", "half", "p99_us"),
            "keep_p99_us": series(measured, subject, "keep", "half", "p99_us"),
            "idle_p99_us": series(measured, subject, "idle", "p99_us"),
        } for subject in measured},
    }


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
            ratios = _relative(scene, base, metric)
            entry = row(f"scale-{name}-{metric}", f"{scene['label']}: {what}", unit, scene["podidentd"][metric],
                        reference="10 pods", reference_values=base["podidentd"][metric], ratios=ratios,
                        target="within 5 % of 10 pods", better=better, tolerance=0.15 if better == "higher" else 0.5)
            middle = entry["ratio"]["median"]
            entry["met"] = middle >= 0.95 if better == "higher" else middle <= 1.05
            rows.append(entry)
    return rows


def _relative(scene, base, metric):
    """(agent / nginx) here over the median of (agent / nginx) with 10 pods, a value for each round."""
    def against_nginx(where):
        return [own / other for own, other in zip(where["podidentd"][metric], where["nginx"][metric])]

    middle = statistics.median(against_nginx(base))
    return [value / middle for value in against_nginx(scene)]
