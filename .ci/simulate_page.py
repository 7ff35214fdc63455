"""Writes what came of a simulation: the tables of docs/simulation.md, and the commands that show what broke."""

import os
from collections import Counter


def total(reports, member):
    """The sum of one table of all reports."""
    count = Counter()
    for report in reports:
        count.update(report[member])
    return count


def shown(failure, kinds):
    """What is left of a seed that was made smaller: nodes, hours, faults, invariants."""
    faults = "all" if failure["faults"] == kinds else ", ".join(f"`{name}`" for name in failure["faults"]) or "none"
    late = " (the time was up)" if failure["isLate"] else ""
    return failure["nodes"], failure["hours"], faults + late, ", ".join(f"`{name}`" for name in failure["violations"])


def again(failure, options):
    """The command that shows it."""
    words = ["podidentd-lab", "simulate", "--seed", failure["seed"], "--hours", failure["hours"], "--nodes", failure["nodes"],
             "--pods", options.pods, "--fault-pause", options.pause]
    return " ".join(map(str, words)) + "".join(f" --without {name}" for name in failure["without"])


class World:
    """One kind of world, and the reports of its seeds."""

    def __init__(self, options, reports, twice):
        self.options, self.reports, self.twice = options, reports, twice
        # A run beside others takes longer, and no more of the processors than a quiet one.
        self.seconds, self.processor, self.hours = (
            sum(report[member] for report in reports) for member in ("seconds", "processor", "hours"))
        self.bad = [report for report in reports if report["violations"]]

    def sum(self, member):
        """The sum of a number of all reports."""
        return sum(report[member] for report in self.reports)

    @property
    def column(self):
        """What the world adds to the table of runs, by row."""
        options = self.options
        answers = ", ".join(f"{count:,} x {status}" for status, count in sorted(total(self.reports, "statuses").items()))
        return {
            "seeds": f"{len(self.reports):,} (from {options.seed})",
            "pods of each node, about": options.pods,
            "seconds between two faults, about": options.pause,
            "simulated hours": f"{self.hours:,.0f}",
            "wall time": f"{self.seconds:,.0f} s on {os.cpu_count()} cores",
            "processor time": f"{self.processor:,.0f} s",
            "simulated hours in a second of a core": f"{self.hours / max(self.processor, 1):,.0f}",
            "pods, agents": f"{self.sum('pods'):,}, {self.sum('agents'):,}",
            "requests": f"{self.sum('requests'):,} ({answers}; {self.sum('resets'):,} without an agent)",
            "upstream calls": f"{self.sum('calls'):,}",
            "events in the traces": f"{self.sum('events'):,}",
            "the same seed in two processes": " and ".join(self.twice),
            "seeds that break an invariant": len(self.bad),
        }


def table(heads, rows):
    """A table of Markdown."""
    lines = [[f" {cell} " if cell != "" else " " for cell in line] for line in (heads, *rows)]
    return "".join(f"|{'|'.join(line)}|\n" for line in (lines[0], ["---"] * len(heads), *lines[1:]))


def page(kinds, worlds, failures, found, needed, seeds):
    """The part of the document that the run makes. `needed` are the faults that some bugs need, as so many `seeds` have shown."""
    columns = [world.column for world in worlds]
    reports = [report for world in worlds for report in world.reports]
    faults, checks = total(reports, "faults"), total(reports, "checks")
    broken = Counter(name for report in reports for name in set(report["violations"]))
    text = "\n## The run\n\n" + table(
        ["", *("one node" if world.options.nodes == 1 else f"{world.options.nodes} nodes" for world in worlds)],
        [[row, *(column[row] for column in columns)] for row in columns[0]])
    text += "\n## Faults injected\n\n" + table(["fault", "times"], [[f"`{name}`", f"{faults[name]:,}"] for name in kinds["fault"]])
    text += "\n## Invariants checked\n\n" + table(
        ["invariant", "checks", "seeds that break it"],
        [[f"`{name}`", f"{checks[name]:,}", broken[name]] for name in kinds["invariant"]])
    if failures:
        text += "\n## Seeds that break one, made smaller\n\n" + table(
            ["seed", "nodes", "hours", "faults", "invariants"],
            [[one["seed"], *shown(one, kinds["fault"])] for one in failures])
    text += "\n## Bugs put in on purpose\n\n" + table(
        ["bug", "found with seed (of 1 h)", "by", "by these faults alone"],
        [[f"`{name}`", seed or "not found", ", ".join(f"`{one}`" for one in by) or "-",
          ", ".join(f"`{one}`" for one in needed[name]) if elsewhere is False else "-"]
         for name, seed, by, elsewhere in found])
    return text + f"\nThe last column: {seeds} seeds without those faults do not show the bug.\n"


def write(path, text):
    """Replaces the part of the document that the run makes."""
    mark = "<!-- From here on .ci/simulate writes. -->\n"
    with open(path, encoding="utf-8") as file:
        text = file.read().split(mark)[0] + mark + text
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
