"""Runs the tests again and again beside busy loops, tells which of them failed, and keeps a page of all runs so far."""

import ctypes
import datetime
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import environment
import swift_tests

CI = pathlib.Path(__file__).resolve().parent
PAGE = CI.parent / "Benchmarks" / "results" / "busy.md"
# `prctl(2)`: a loop ends with the process that started it, whatever ends that.
PR_SET_PDEATHSIG = 1
FAILED = re.compile(r'^✘ (Test|Suite) (?!run )(.*?)(?: with \d+ test cases?)? failed after')


class BusyLoops:
    """Loops that take all the processor time that they get.

    They stay in this process's session. Linux shares the processors among sessions first (`sched_autogroup`): loops in a
    session of their own would leave the tests half of the machine, however many they are.
    """

    def __init__(self, count=2):
        self.count = count
        self.processes = []

    def __enter__(self):
        libc = ctypes.CDLL(None)
        self.processes = [
            subprocess.Popen(
                [sys.executable, "-c", "while True: pass"],
                preexec_fn=lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL))
            for _ in range(self.count)]
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.kill()
            process.wait()


class Run:
    """What one run of the tests came to."""

    def __init__(self, number, status, seconds, tests=0, failures=(), suites=()):
        self.number = number
        self.status = status
        self.seconds = seconds
        self.tests = tests
        self.failures = list(failures)
        self.suites = list(suites)

    @property
    def cells(self):
        result = "passed" if self.status == 0 else f"failed ({self.status})"
        return [str(self.number), f"{self.seconds / 60:.1f}", result, "; ".join(self.failures + self.suites)]


def commands(filter_):
    """What one run consists of: everything that CI runs, or the tests that match."""
    return swift_tests.TEST + ["--filter", filter_] if filter_ else [str(CI / "test")]


def repeat(count, command, show, note, limits=None, keep=lambda run: None):
    """Runs `command` `count` times, whatever comes out, hands each run to `keep`, and returns all."""
    runs = []
    for number in range(1, count + 1):
        note(f"Run {number} of {count}")
        tests, failed = [], {"Test": [], "Suite": []}

        def read(line):
            if match := FAILED.match(line):
                failed[match[1]].append(match[2].strip('"'))
            if match := swift_tests.SUMMARY.match(line):
                tests.append(int(match[1]))
            show(line)

        begun = time.monotonic()
        with BusyLoops():
            status = swift_tests.run([], swift_tests.Record(), read, limits, command=command, note=note)
        runs.append(Run(number, status, time.monotonic() - begun, sum(tests), failed["Test"], failed["Suite"]))
        keep(runs[-1])
    return runs


def table(runs):
    rows = [["run", "minutes", "result", "failed tests and suites"]] + [run.cells for run in runs]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)) + "  " + row[3] for row in rows]
    return "\n".join(line.rstrip() for line in lines)


HEAD = """\
# All tests beside two busy loops

`make busy RUNS=n` appends a row here for each run of everything that `make test` runs, beside two loops that take all the
processor time that they get. A run of some tests alone (`FILTER=suite`) is none of these. A commit with a `+` had changes that
were not committed.

"""
COLUMNS = ["run", "begun", "commit", "minutes", "tests", "failed", "what failed"]


def rows(text):
    """The rows of a page, as lists of cells."""
    table = [line for line in text.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def page(rows):
    """The whole page: what all runs come to, and a row for each."""
    good = 0
    for row in rows:
        good = good + 1 if is_good(row) else 0
    tests, failed = (sum(int(row[column]) for row in rows) for column in (4, 5))
    minutes = sum(float(row[3]) for row in rows)
    total = (
        f"**{counted(len(rows), 'run')} at {counted(len({row[2] for row in rows}), 'commit')}: {counted(tests, 'test')}, "
        f"{failed:,} failed, in {minutes:,.0f} minutes. {counted(sum(map(is_good, rows)), 'run')} without a failure, the last "
        f"{good:,} in a row.**\n\n")
    lines = [COLUMNS, ["---"] * len(COLUMNS), *rows]
    return HEAD + total + "\n".join(f"| {' | '.join(row)} |" for row in lines) + "\n"


def is_good(row):
    return row[6] == "-"


def counted(number, noun):
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def append(run, begun, commit, path=PAGE):
    """Writes the page with a row more. A run that was ended, or that something else than a test failed, says so."""
    known = rows(path.read_text()) if path.exists() else []
    what = [name.replace("|", "/") for name in run.failures]
    if run.status != 0 and not what:
        what = [f"ended with status {run.status}"]
    known.append([
        str(len(known) + 1), begun, commit, f"{run.seconds / 60:.1f}", str(run.tests), str(len(run.failures)),
        "; ".join(what) or "-"])
    path.write_text(page(known))


def head():
    """The commit that is tested."""
    def git(*words):
        return subprocess.run([CI / "git", *words], capture_output=True, text=True, check=False).stdout.strip()

    # The page itself changes with each run.
    changes = git("status", "--porcelain", "--", ".", f":(exclude){PAGE.relative_to(CI.parent)}")
    return (git("rev-parse", "--short=10", "HEAD") or "unknown") + ("+" if changes else "")


def main(arguments):
    count = environment.whole("RUNS", 10, arguments[0] if arguments else None)
    filter_ = arguments[1] if len(arguments) > 1 else ""
    swift_tests.require_root("busy")
    os.chdir(CI.parent)
    # With two loops on two processors nothing takes longer than three times, which `.ci/test` itself must know.
    seconds = 3 * swift_tests.Limits().total
    os.environ[swift_tests.SECONDS] = str(seconds)
    commit = head()

    def keep(run):
        end = datetime.datetime.now(datetime.timezone.utc)
        begun = end - datetime.timedelta(seconds=run.seconds)
        append(run, begun.strftime("%Y-%m-%d %H:%M"), commit)

    runs = repeat(
        count, commands(filter_), lambda line: print(line, flush=True),
        lambda line: print(line, file=sys.stderr, flush=True),
        swift_tests.Limits(silence=1800, total=seconds + 600), (lambda run: None) if filter_ else keep)
    print(table(runs))
    return 0 if all(run.status == 0 for run in runs) else 1
