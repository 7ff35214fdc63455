#!/usr/bin/env python3
"""Measures the SPIFFE endpoint and the signer, and says which targets are met."""

import argparse
import datetime
import json
import os
import sys

from harness import machine, report, spiffe
from harness.stage import Stage
from harness.tools import BENCHMARKS, ROOT, ended_well, say

RESULTS = os.path.join(BENCHMARKS, "results", "spiffe.json")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agent", default=f"{ROOT}/.build-release/release/podidentd", help="the agent under test")
    parser.add_argument("--lab", default=f"{ROOT}/.build-release/release/podidentd-lab", help="the embedded lab")
    parser.add_argument("--only", default="cached,memory,signer", help="parts")
    parser.add_argument("--rounds", type=int, default=5, help="of cached calls")
    parser.add_argument("--seconds", type=int, default=3, help="of each cached call and round, and of the exchanges")
    parser.add_argument("--pods", type=int, default=110, help="pods with streams")
    parser.add_argument("--output", default=RESULTS, help="the results; parts that are not measured stay")
    options = parser.parse_args()
    options.only = options.only.split(",")
    return options


def markdown(results):
    """The rows of all parts as a table."""
    lines = ["# SPIFFE", "",
             "Made by `make bench SPIFFE=1`: one release build of agent and signer, one run for each part.", "",
             f"Machine: {report.machine_line(results['machine'])}.", "",
             "| | measured: median (range) | reference: median (range) | ratio (range) | target |", "|---|---|---|---|---|"]
    for part in ("cached", "memory", "signer"):
        for entry in results["parts"].get(part, {}).get("rows", []):
            other = entry.get("reference")
            against = f"{other['name']}: {report.span(other)}" if other else ""
            lines.append(f"| {entry['what']} | {report.span(entry)} {entry['unit']} | {against} | {report.ratio(entry)} | "
                         f"{report.verdict(entry)} |")
    lines += [""] + [
        f"- {part}: {measured['date']}, agent {measured['agent']['sha256']}; others took "
        f"{measured['others_percent']:.0f} % of the machine before it."
        for part, measured in sorted(results["parts"].items())]
    return "\n".join(lines) + "\n"


def measure(options, results):
    parts = {
        "cached": lambda stage: spiffe.cached_rows(stage, options.rounds, options.seconds),
        "memory": lambda stage: spiffe.memory_rows(stage, options.pods, 5),
        "signer": lambda stage: spiffe.signer_rows(stage, 2 * options.seconds, 8),
    }
    for part in options.only:
        busy = machine.busy_percent()
        say(f"{part}; others take {busy:.0f} % of the machine")
        stage = Stage(options.lab)
        try:
            rows = parts[part](spiffe.Spiffe(stage, options.agent, options.lab))
        finally:
            stage.close()
        results["parts"][part] = {
            "rows": rows, "date": datetime.date.today().isoformat(), "agent": machine.describe_agent(options.agent),
            "others_percent": round(busy, 1)}
        results["machine"] = machine.describe()
        with open(options.output, "w") as file:
            json.dump(results, file, indent=1, sort_keys=True)
            file.write("\n")
        with open(os.path.splitext(options.output)[0] + ".md", "w") as file:
            file.write(markdown(results))


def main():
    options = arguments()
    results = {"parts": {}}
    if os.path.exists(options.output):
        with open(options.output) as file:
            results = json.load(file)
    status = ended_well("spiffe", lambda: measure(options, results))
    if status == 0:
        print(markdown(results))
    return status


if __name__ == "__main__":
    sys.exit(main())
