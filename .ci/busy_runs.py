"""Runs the tests again and again beside busy loops, and tells which of them failed."""

import ctypes
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import swift_tests

CI = pathlib.Path(__file__).resolve().parent
# `prctl(2)`: a loop ends with the process that started it, whatever ends that.
PR_SET_PDEATHSIG = 1
FAILED = re.compile(r'^✘ (?:Test|Suite) (?!run )(.*?)(?: with \d+ test cases?)? failed after')


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

    def __init__(self, number, status, seconds, failures):
        self.number = number
        self.status = status
        self.seconds = seconds
        self.failures = failures

    @property
    def cells(self):
        result = "passed" if self.status == 0 else f"failed ({self.status})"
        return [str(self.number), f"{self.seconds / 60:.1f}", result, "; ".join(self.failures)]


def commands(filter_):
    """What one run consists of: everything that CI runs, or the tests that match."""
    return swift_tests.TEST + ["--filter", filter_] if filter_ else [str(CI / "test")]


def repeat(count, command, show, note, limits=None):
    """Runs `command` `count` times, whatever comes out, and returns the runs."""
    runs = []
    for number in range(1, count + 1):
        note(f"Run {number} of {count}")
        failures = []

        def read(line):
            if match := FAILED.match(line):
                failures.append(match[1].strip('"'))
            show(line)

        begun = time.monotonic()
        # Those of each run: a run that hangs is ended with all processes below this one.
        with BusyLoops():
            status = swift_tests.run([], swift_tests.Record(), read, limits, command=command, note=note)
        runs.append(Run(number, status, time.monotonic() - begun, failures))
    return runs


def table(runs):
    rows = [["run", "minutes", "result", "failed tests and suites"]] + [run.cells for run in runs]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)) + "  " + row[3] for row in rows]
    return "\n".join(line.rstrip() for line in lines)


def main(arguments):
    runs = arguments[0] if arguments else "10"
    if not runs.isdecimal() or int(runs) == 0:
        sys.exit(f"RUNS is a number of 1 or more, and not '{runs}'.")
    count = int(runs)
    filter_ = arguments[1] if len(arguments) > 1 else ""
    swift_tests.require_root("busy")
    os.chdir(CI.parent)
    # With two loops on two processors nothing takes longer than three times, which `.ci/test` itself must know.
    seconds = 3 * swift_tests.Limits().total
    os.environ[swift_tests.SECONDS] = str(seconds)
    runs = repeat(
        count, commands(filter_), lambda line: print(line, flush=True),
        lambda line: print(line, file=sys.stderr, flush=True),
        swift_tests.Limits(silence=1800, total=seconds + 600))
    print(table(runs))
    return 0 if all(run.status == 0 for run in runs) else 1
