"""Measures a list of parts, each on a stage of its own, and writes results and a page of them."""

import argparse
import datetime
import json
import os

from harness import machine, report
from harness.options import Options
from harness.stage import Stage
from harness.tools import BENCHMARKS, ended_well, say


def parser(description, name, only):
    """The options that every such list has."""
    result = Options(description)

    def chosen(text):
        if unknown := set(text.split(",")) - set(only):
            raise argparse.ArgumentTypeError(f"no such parts: {', '.join(sorted(unknown))}; there are {', '.join(only)}")
        return text.split(",")

    result.add_argument("--only", default=",".join(only), type=chosen, help="parts")
    result.add_argument("--output", default=os.path.join(BENCHMARKS, "results", f"{name}.json"),
                        help="the results; parts that are not measured stay")
    return result


def markdown(results, title, made, order):
    """The rows of all parts as a table."""
    lines = [f"# {title}", "", made, "",
             f"Machine: {report.machine_line(results['machine'])}.", "",
             "| | measured: median (range) | reference: median (range) | ratio (range) | target |", "|---|---|---|---|---|"]
    for part in order:
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


def measure(options, results, parts, subject, page):
    """Measures the chosen parts; each is saved as soon as it is there. `subject` makes what is measured of a stage."""
    for part in options.only:
        busy = machine.busy_percent()
        say(f"{part}; others take {busy:.0f} % of the machine")
        stage = Stage(options.lab)
        try:
            rows = parts[part](subject(stage))
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
            file.write(page(results))


def main(name, options, parts, subject, title, made):
    """Measures, and prints the page; the status of the program."""
    if options.check:
        return 0

    def page(results):
        return markdown(results, title, made, tuple(parts))

    results = {"parts": {}}
    if os.path.exists(options.output):
        with open(options.output) as file:
            results = json.load(file)
    status = ended_well(name, lambda: measure(options, results, parts, subject, page))
    if status == 0:
        print(page(results))
    return status
