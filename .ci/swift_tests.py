"""Runs `swift test`, reads what it prints, and ends a run that hangs."""

import collections
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

import environment
import processes

TEST = [os.environ.get("SWIFT") or "swift", "test", "--skip-build", "--disable-xctest", "--no-parallel"]
# The variable with the seconds after which a run is taken to hang, on a machine that is slow or busy.
SECONDS = "PODIDENTD_TEST_SECONDS"

BEGUN = re.compile(r"^◇ (?:Test|Suite) (?!case |run )(.*) started\.$")
ENDED = re.compile(r"^. (?:Test|Suite) (?!run )(.*?)(?: with \d+ test cases?)? (passed|failed) after (?:([\d.]+) seconds)?.*$")
SKIPPED = re.compile(r"^[➜⚠].*skipped")
# Errors of the tests, of a program that crashes, of `swift test`, and of Python's unittest.
ERROR = re.compile(r"^✘|^error|Fatal error: |Program crashed: |^(?:FAIL|ERROR): ")
ROUTINE = re.compile(r"◇ (?:Test|Suite) |^◇|passed after|Test Case|started\.$")
SUMMARY = re.compile(r"^. Test run with (\d+) tests?\b")
ROW = re.compile(r'^◇ Test case passing .* → ((?:cloud )?case \d+ .*) to "[^"]*" started\.$')
# Arguments are printed as they are, line feeds included: the line ends some lines further down.
ARGUMENTS = "◇ Test case passing "
SIGN = re.compile(r"^[◇✔✘➜⚠↳] ")
# What follows an argument with a NUL: swift-testing ends the text there, without a line feed.
NEXT = re.compile(r"[✔✘] Test .*$")
# Colours (ECMA-48, "select graphic rendition").
COLOUR = re.compile(r"\x1b\[[0-9;:]*m")
TITLE = re.compile(r'^◇ Test "((?:cloud )?case \d+ .*)" started\.$')


def plain(line):
    return COLOUR.sub("", line)


def is_error(line):
    return bool(ERROR.search(line))


def is_routine(line):
    """Whether a line tells a reader of the run's output nothing. An error does, whatever words are in it."""
    line = line.strip()
    if SUMMARY.match(line) or is_error(line) or line.startswith("↳"):
        return False
    return not line or bool(ROUTINE.search(line))


class Record:
    """What a run has said so far."""

    def __init__(self):
        self.last = collections.deque(maxlen=5)
        # Why the run was ended; None: it was not.
        self.hang = None
        self.running = []
        self.ended = 0
        self.failed = 0
        # (seconds, name) of each test, without suites.
        self.times = []
        self.skipped = []
        self.summary = None
        self.errors = []
        # By the title of a numbered case: whether it passes. A row of a parameterised test is a case of its own.
        self.cases = {}
        self._title = None
        self._case = None
        self._is_error = False
        self._is_cut = False

    def read(self, line):
        """Takes one line, coloured or not. Returns whether a reader of the run's output wants to see it."""
        line = plain(line)
        if line.startswith(ARGUMENTS) and not line.endswith(" started.") and (rest := NEXT.search(line)):
            line = rest[0]
        if line.strip():
            self.last.append(line)
        if self._is_rest_of_arguments(line):
            return False
        if match := TITLE.match(line):
            self._title = match[1]
            self.cases.setdefault(self._title, True)
        if match := ROW.match(line):
            self._case = match[1]
            self.cases.setdefault(self._case, True)
        if match := BEGUN.match(line):
            self.running.append(match[1])
        elif match := ENDED.match(line):
            self._end(match[1], match[2] == "passed")
            if match[3] and line[2:].startswith("Test"):
                self.times.append((float(match[3]), match[1]))
        elif SKIPPED.match(line):
            self.skipped.append(line)
        elif line.startswith("✘") and "recorded an issue" in line:
            self._fail()
        # The test's own words on an issue follow it.
        self._is_error = is_error(line) or self._is_error and line.startswith("↳")
        if self._is_error:
            self.errors.append(line)
        if SUMMARY.match(line):
            self.summary = line
        return not is_routine(line)

    def _is_rest_of_arguments(self, line):
        is_rest = self._is_cut and not SIGN.match(line)
        self._is_cut = (is_rest or line.startswith(ARGUMENTS)) and not line.endswith(" started.")
        return is_rest

    def _end(self, name, is_passed):
        if name in self.running:
            self.running.remove(name)
        self.ended += 1
        self.failed += not is_passed
        self._title = self._case = None

    def _fail(self):
        """What runs now has failed: a numbered row, and the numbered test that it is of."""
        for title in (self._title, self._case):
            if title:
                self.cases[title] = False

    def finish(self):
        """No line comes any more: a case that has not ended has failed."""
        self._fail()

    def slowest(self, count):
        """The tests that took longest, each with its seconds."""
        return [f"{seconds:.0f} s: {name}" for seconds, name in sorted(self.times, reverse=True)[:count]]

    def numbered(self, kind="case"):
        """(number, whether it passes, what it says) of each case; one title may have several numbers."""
        rows = []
        for title, is_passed in self.cases.items():
            numbers, rest = [], title
            while match := re.match(rf"{kind} (\d+) ", rest):
                numbers.append(int(match[1]))
                rest = rest[match.end():]
            rows += [(number, is_passed, rest) for number in numbers]
        return sorted(rows)


class Limits:
    """After how long a run is taken to hang, in seconds, and how often it says that it goes on."""

    def __init__(self, silence=600, total=None, progress=60):
        self.silence = silence
        self.total = total or environment.whole(SECONDS, 3000)
        self.progress = progress


def run(arguments, record, show, limits=None, command=None, note=print, explain=None):
    """Runs the tests and feeds `record`; `show` gets each line that is not routine, `note` what this function has to say.

    Returns the exit status; that of a run that was ended for hanging is 124. A run that is told to end (SIGTERM, SIGINT)
    ends all its processes first, but not what its caller started before.
    """
    processes.keep_orphans()
    others = processes.children()
    previous = signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        return watched(arguments, record, show, limits or Limits(), command, note, explain or processes.describe, others)
    except BaseException:
        processes.end_all(others)
        note("Begun and not ended: " + (", ".join(record.running) or "nothing"))
        raise
    finally:
        signal.signal(signal.SIGTERM, previous)


def watched(arguments, record, show, limits, command, note, explain, others):
    """Runs the tests, and ends those that hang."""
    command = (command or TEST) + list(arguments)
    # Line by line, or a test's last words stay in a buffer when it hangs.
    buffering = ["stdbuf", "-oL"] if shutil.which("stdbuf") else []
    # The tests' program colours what it prints to a pipe wherever `TERM` names a terminal: a coloured line cannot be read.
    child = subprocess.Popen(
        buffering + command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", errors="replace",
        env=os.environ | {"NO_COLOR": "1"})
    lines = queue.Queue()

    def read():
        for line in child.stdout:
            lines.put(plain(line.rstrip("\n")))
        lines.put(None)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    reason = None
    begun = heard = told = time.monotonic()
    while True:
        try:
            line = lines.get(timeout=1)
        except queue.Empty:
            line = ""
        now = time.monotonic()
        if line is None:
            break
        if line:
            heard = now
            if record.read(line):
                show(line)
        if now - told >= limits.progress:
            told = now
            running = f"; running: {record.running[-1]}" if record.running else ""
            note(f"After {int(now - begun)} s: {record.ended} tests and suites ended, {record.failed} failed{running}")
        reason = hang(now - heard, now - begun, limits)
        if reason:
            note(reason)
            note("Begun and not ended: " + (", ".join(record.running) or "nothing"))
            for line in record.last:
                note(line)
            explain(note, processes.descendants(os.getpid(), others))
            processes.end_all(others)
            record.hang = reason
            break
    record.finish()
    status = child.wait()
    reader.join()
    child.stdout.close()
    return 124 if reason else status


def hang(silence, total, limits):
    """Why a run is taken to hang; None: it is not."""
    if silence >= limits.silence:
        return f"No test has said anything for {int(limits.silence / 60)} minutes."
    if total >= limits.total:
        return f"The tests have run for {int(limits.total / 60)} minutes."
    return None


def require_root(target):
    if os.geteuid() != 0:
        sys.exit(f"The tests attach to the kernel and make namespaces and cgroups: run 'make {target}' as root.")
