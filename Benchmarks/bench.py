#!/usr/bin/env python3
"""Measures podidentd beside its references and says which targets are met. See README.md."""

import datetime
import json
import os
import subprocess
import sys

from harness import machine, report, rows
from harness.bystanders import bystander_figure
from harness.first import first_rows
from harness.footprint import footprint_figure
from harness.options import Options, program_problem, whole
from harness.profile import profile_figure
from harness.restart import killed_rows, restart_rows
from harness.runtimes import runtime_rows
from harness.scale import scale_rows, scale_scenes
from harness.stage import Stage
from harness.throughput import base_figures
from harness.tools import BASELINE, BENCHMARKS, ROOT, BenchError, ended_well, say
from harness.uncached import uncached_figure
from harness.upgrade import upgrade_rows

# The parts of figure 6.
WAITS = {"restart": restart_rows, "first": first_rows, "killed": killed_rows, "upgrade": upgrade_rows,
         "runtimes": runtime_rows}
RESULTS = os.path.join(BENCHMARKS, "results", "latest.json")
FULL = {"rounds": 5, "seconds": 3, "idle_seconds": 4, "scale_seconds": 2, "scale_idle_seconds": 5, "fetch_rounds": 3,
        "restarts": 5, "fresh_pods": 200, "starts": 100, "connect_rounds": 21, "connect_ms": 20, "memory_rounds": 1, "idle_for": 60, "most_pods": 500}
QUICK = {"rounds": 2, "seconds": 1, "idle_seconds": 1, "scale_seconds": 1, "scale_idle_seconds": 1, "fetch_rounds": 1,
         "restarts": 2, "fresh_pods": 50, "starts": 20, "connect_rounds": 5, "connect_ms": 10, "memory_rounds": 1, "idle_for": 10, "most_pods": 110}


def arguments():
    parser = Options(__doc__)
    parser.add_argument("--before", help=f"a checkout of {BASELINE} with its release build, which takes turns in figures 1, 2 and 8")
    parser.add_argument("--only", default="1,2,3,4,5,6,7,8,9", help="figures: 1,2,5 (1, 2, 3 and 9 go together)")
    parser.add_argument("--rows", default=",".join(WAITS), help="of figure 6, such as restart,killed; the others' rows stay as they are")
    parser.add_argument("--scenes", default="", help="of figure 4, such as 10,110; the first is what the others are compared with")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds, at most 110 pods")
    parser.add_argument("--rounds", type=whole, help="rounds of figures 1 to 4")
    parser.add_argument("--starts", type=whole, help="containers of each runtime and kind, in figure 6")
    parser.add_argument("--output", default=RESULTS, help="the results; figures that are not measured stay")
    parser.add_argument("--baseline", help="results to compare with; default: the committed ones")
    options = parser.parse_args()
    for key, value in (QUICK if options.quick else FULL).items():
        if getattr(options, key, None) is None:
            setattr(options, key, value)
    options.only = [word for word in options.only.split(",") if word]
    figures = parser.get_default("only").split(",")
    if unknown := set(options.only) - set(figures):
        parser.error(f"--only: no such figures: {', '.join(sorted(unknown))}; there are {', '.join(figures)}")
    options.rows = [word for word in options.rows.split(",") if word]
    if unknown := set(options.rows) - WAITS.keys():
        parser.error(f"--rows: no such rows: {', '.join(sorted(unknown))}; there are {', '.join(WAITS)}")
    scenes = options.scenes or ("10,110,nested" if options.quick else "10,110,500,nested")
    options.scenes = scenes.split(",")
    for scene in options.scenes:
        if scene != "nested" and not (scene.isdecimal() and int(scene)):
            parser.error(f"--scenes: '{scene}' is neither a number of pods nor 'nested'")
    if options.before and (problem := program_problem(f"{options.before}/.build-release/release/podidentd")):
        parser.error(f"--before: {problem}: a checkout of {BASELINE} with its release build is needed")
    return options


def committed(path):
    """The last committed results, if there are any."""
    relative = os.path.relpath(path, ROOT)
    show = [os.path.join(ROOT, ".ci/git"), "show", f"HEAD:{relative}"]
    result = subprocess.run(show, capture_output=True, text=True, check=False)
    return json.loads(result.stdout) if result.returncode == 0 else None


def load(path):
    if not os.path.exists(path):
        return {"figures": {}}
    with open(path) as file:
        return json.load(file)


def save(path, results):
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path + ".new", "w") as file:
        json.dump(results, file, indent=1, sort_keys=True)
        file.write("\n")
    os.replace(path + ".new", path)
    with open(os.path.splitext(path)[0] + ".md", "w") as file:
        file.write(report.markdown(results))


def measure(options, results):
    """Runs the chosen figures; each is saved as soon as it is there."""
    chosen = set(options.only)
    stamp = {"date": datetime.date.today().isoformat(), "agent": machine.describe_agent(options.agent),
             "mode": "quick" if options.quick else "full", "rounds": options.rounds}

    def keep(figures):
        for key in chosen & figures.keys():
            kept = results["figures"].get(key) if figures[key].pop("is_part", False) else None
            results["figures"][key] = rows.merged(kept, {**figures[key], **stamp})
        results["machine"] = machine.describe()
        save(options.output, results)

    pictures = os.path.join(BENCHMARKS if options.output == RESULTS else os.path.dirname(options.output), "figures")
    steps = [
        ({"1", "2", "3", "9"}, "throughput and latency",
         lambda stage: [base_figures(stage, options.agent, options)]),
        ({"9"}, "profile", lambda stage: [profile_figure(stage, options.agent, results, pictures)]),
        ({"4"}, "many pods and cgroups", lambda _: [scaled(options)]),
        ({"5"}, "uncached tokens", lambda stage: [{"5": uncached_figure(stage, options.agent, options)}]),
        ({"6"}, "restart", lambda stage: waits(stage, options)),
        ({"7"}, "everybody else", lambda _: [{"7": bystander_figure(options)}]),
        ({"8"}, "footprint", lambda stage: [{"8": footprint_figure(stage, options.agent, options)}]),
    ]
    for figures, what, step in steps:
        if not chosen & figures:
            continue
        busy = machine.busy_percent()
        say(f"{what} (figure {', '.join(sorted(figures))}); others take {busy:.0f} % of the machine")
        stamp["others_percent"] = round(busy, 1)
        # Bystanders need no agent.
        stage = None if figures == {"7"} else Stage(options.lab)
        try:
            for measured in step(stage):
                keep(measured)
        finally:
            if stage:
                stage.close()


def waits(stage, options):
    """Figure 6: what a pod waits for while an agent starts, and while it learns of the pod's network."""
    found, parts = [], 0
    for name, measure in WAITS.items():
        if name in options.rows:
            found += measure(stage, options.agent, options)
            parts += 1
            yield {"6": {"rows": list(found), "is_part": parts < len(WAITS)}}


def scaled(options):
    """Figure 4, which makes stages of its own."""
    scenes = scale_scenes(options.lab, options.agent, options)
    return {"4": {"rows": scale_rows(scenes), "scenes": scenes}}


def main():
    options = arguments()
    if options.check:
        return 0
    results, before = {}, None

    def work():
        nonlocal results, before
        for path, what in ((options.agent, "agent"), (options.lab, "lab")):
            if not os.access(path, os.X_OK):
                raise BenchError(f"there is no {what} at {path}: 'make bench' builds it")
        results = load(options.output)
        if options.baseline:
            before = load(options.baseline)
        else:
            before = committed(options.output) if options.output == RESULTS else None
        measure(options, results)

    status = ended_well("bench", work)
    if status != 0:
        return status
    print(report.markdown(results))
    if before:
        worse = rows.regressions(before, results)
        print("\n".join(f"REGRESSION {line}" for line in worse) or "No regression against the last results.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
