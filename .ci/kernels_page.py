"""Reads what a machine's console says, and writes the table of docs/operate/kernels.md."""

import collections
import json
import re

import swift_tests

BEGIN, END = "<!-- The table of make kernels -->\n", "<!-- Its end -->\n"
STEP_BEGUN = re.compile(r"^machine: begin (\S+)$")
STEP_ENDED = re.compile(r"^machine: end (\S+) (\d+) (\d+)$")
SUMMARY = re.compile(r"^. Test run with (\d+) tests?(?: in \d+ suites?)? (?:passed|failed) after")
FAILED = re.compile(r"^✘ Test (?!run |case )(.*?)(?: with \d+ test cases?)? failed after")
SKIPPED = re.compile(r'^. Test (.*?) skipped(?:: "(.*)")?$')
COLUMNS = {"kernel": "kernel ring", "hardening": "rights", "identities": "identities", "demo": "demo"}


class Record:
    """What one kernel offers, and how the steps ended on it."""

    def __init__(self, release, debian):
        self.release = release
        self.debian = debian
        self.version = None
        self.unavailable = None
        self.seconds = 0
        self.is_finished = False
        # By name: status, seconds, tests in all, the titles of those that failed, and why others were left out.
        self.steps = {}
        self.items = []
        self._step = None
        self._lines = []

    def read(self, line):
        """Takes one line of the console, without its end."""
        # The tests' output is coloured on a console.
        line = swift_tests.plain(line)
        if line.startswith("machine: finished"):
            self.is_finished = True
        elif match := STEP_BEGUN.match(line):
            self._step = match[1]
            self._lines = []
            self.steps[self._step] = {"status": None, "seconds": 0, "tests": None, "failed": [], "skipped": []}
        elif (match := STEP_ENDED.match(line)) and match[1] in self.steps:
            self.steps[match[1]].update(status=int(match[2]), seconds=int(match[3]))
            if match[1] == "offers":
                self.items = kernel_items("\n".join(self._lines))
            self._step = None
        elif self._step:
            self._lines.append(line)
            step = self.steps[self._step]
            if match := FAILED.match(line):
                step["failed"].append(match[1].strip('"'))
            elif match := SKIPPED.match(line):
                step["skipped"].append(match[2] or match[1].strip('"'))
            elif match := SUMMARY.match(line):
                step["tests"] = int(match[1])

    def fault(self):
        """Why the run is no success; `None` if it is one."""
        if self.unavailable:
            return f"not run: {self.unavailable}"
        if not self.is_finished:
            return "the machine ended before its steps did"
        failed = [name for name, step in self.steps.items() if step["status"] != 0]
        return "these steps failed: " + ", ".join(failed) if failed else None

    def summary(self):
        return f"{self.release}: {self.fault() or 'every step passed'}, {self.seconds} s"

    def values(self):
        return {name: getattr(self, name) for name in (
            "release", "debian", "version", "unavailable", "seconds", "is_finished", "steps", "items")}


def kernel_items(text):
    """The findings of `podidentd check` about the kernel. Words of the kernel itself may stand around them."""
    start, end = text.find("{"), text.rfind("}")
    try:
        sections = json.loads(text[start:end + 1])["sections"]
    except (ValueError, KeyError):
        return []
    return [item for section in sections for item in section["items"] if item["id"].startswith("kernel.")]


def cell(step):
    """What a row says of one step."""
    if step is None:
        return "-"
    if step["status"] is None:
        return "did not end"
    if step["tests"] is None:
        return "passed" if step["status"] == 0 else f"failed (status {step['status']})"
    tests = step["tests"] - len(step.get("skipped", []))
    return f"{tests - len(set(step['failed']))} of {tests} in {step['seconds']} s"


def row(values):
    system = f"Debian {values['debian']}" if values["debian"].isdigit() else f"Debian {values['debian']} ({values['release']})"
    if values["unavailable"]:
        return f"| - | {system} | not run: {values['unavailable']} |" + " |" * (len(COLUMNS) - 1)
    cells = [cell(values["steps"].get(name)) for name in COLUMNS]
    return f"| {values['version']} | {system} | " + " | ".join(cells) + " |"


def notes(values):
    """What a kernel lacks, in the words of `podidentd check`, and what did not pass on it."""
    lines = []
    for item in values["items"]:
        if item["found"].startswith("no "):
            lines.append("  - " + ". ".join(text.rstrip(".") for text in (item["found"], item["meaning"]) if text) + ".")
    if values["items"] and not lines:
        lines.append("  - lacks nothing that the agent looks for.")
    for name, step in values["steps"].items():
        lines += [f"  - did not pass ({name}): {title}" for title in sorted(set(step["failed"]))]
        lines += [f"  - left out ({name}), {count} of the tests: {reason}."
                  for reason, count in sorted(collections.Counter(step.get("skipped", [])).items())]
    return [f"- **{values['version']}**", *lines] if lines else []


def table(records):
    lines = ["| kernel | of | " + " | ".join(COLUMNS.values()) + " |", "|---|---|" + "---|" * len(COLUMNS)]
    lines += [row(values) for values in records]
    lines.append("")
    for values in records:
        lines += notes(values)
    return "\n".join(lines) + "\n"


def write(page, records):
    text = page.read_text()
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page} has no lines {BEGIN!r} and {END!r}")
    page.write_text(f"{before}{BEGIN}\n{table(records)}\n{END}{after}")
