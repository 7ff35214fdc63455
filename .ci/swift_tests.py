"""Runs `swift test`, reads what it prints, and ends a run that hangs."""

import collections
import ctypes
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

TEST = [os.environ.get("SWIFT") or "swift", "test", "--skip-build", "--disable-xctest", "--no-parallel"]
# `prctl(2)`: orphans below this process become its children, so that none of a run's processes gets lost.
PR_SET_CHILD_SUBREAPER = 36
# The variable with the seconds after which a run is taken to hang, on a machine that is slow or busy.
SECONDS = "PODIDENTD_TEST_SECONDS"

BEGUN = re.compile(r"^◇ (?:Test|Suite) (?!case |run )(.*) started\.$")
ENDED = re.compile(r"^. (?:Test|Suite) (?!run )(.*?)(?: with \d+ test cases?)? (passed|failed) after .*$")
SKIPPED = re.compile(r"^[➜⚠].*skipped")
# Of the tests, of what crashes, of `swift test`, and of Python's unittest.
ERROR = re.compile(r"^✘|^error|Fatal error: |Program crashed: |^(?:FAIL|ERROR): ")
ROUTINE = re.compile(r"◇ (?:Test|Suite) |^◇|passed after|Test Case|started\.$")
SUMMARY = re.compile(r"^. Test run with (\d+) tests?\b")
ROW = re.compile(r'^◇ Test case passing .* → ((?:cloud )?case \d+ .*) to "[^"]*" started\.$')
# What colours a line (ECMA-48, "select graphic rendition").
COLOUR = re.compile(r"\x1b\[[0-9;:]*m")
TITLE = re.compile(r'^◇ Test "((?:cloud )?case \d+ .*)" started\.$')


def plain(line):
    return COLOUR.sub("", line)


def is_error(line):
    return bool(ERROR.search(line))


def is_routine(line):
    """Whether a line tells a reader of the run's output nothing."""
    return not line.strip() or not SUMMARY.match(line) and bool(ROUTINE.search(line))


class Record:
    """What a run has said so far."""

    def __init__(self):
        self.last = collections.deque(maxlen=5)
        # Why the run was ended; None: it was not.
        self.hang = None
        self.running = []
        self.ended = 0
        self.failed = 0
        self.skipped = []
        self.summary = None
        self.errors = []
        # By the title of a numbered case: whether it passes. A row of a parameterised test is a case of its own.
        self.cases = {}
        self._title = None
        self._case = None
        self._is_error = False

    def read(self, line):
        """Takes one line, coloured or not. Returns whether a reader of the run's output wants to see it."""
        line = plain(line)
        if line.strip():
            self.last.append(line)
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
        elif SKIPPED.match(line):
            self.skipped.append(line)
        elif line.startswith("✘") and "recorded an issue" in line:
            self._fail()
        # What the test says of its issue follows it.
        self._is_error = is_error(line) or self._is_error and line.startswith("↳")
        if self._is_error:
            self.errors.append(line)
        if SUMMARY.match(line):
            self.summary = line
        return not is_routine(line)

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
    keep_orphans()
    others = children()
    previous = signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        return watched(arguments, record, show, limits or Limits(), command, note, explain or describe, others)
    except BaseException:
        end_all(others)
        raise
    finally:
        signal.signal(signal.SIGTERM, previous)


def keep_orphans():
    """Makes this process the parent of every orphan below it."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def watched(arguments, record, show, limits, command, note, explain, others):
    """Runs the tests, and ends those that hang."""
    command = (command or TEST) + list(arguments)
    # Line by line, or a test's last words stay in a buffer when it hangs.
    buffering = ["stdbuf", "-oL"] if shutil.which("stdbuf") else []
    # The tests' program colours what it prints to a pipe wherever `TERM` names a terminal: a coloured line cannot be read.
    child = subprocess.Popen(
        buffering + command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
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
            explain(note, descendants(os.getpid(), others))
            end_all(others)
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


def parents():
    """The processes by the number of their parent."""
    found = collections.defaultdict(list)
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat") as file:
                found[int(file.read().rpartition(")")[2].split()[1])].append(int(name))
        except OSError:
            continue
    return found


def children():
    """The processes that this one is the parent of."""
    return frozenset(parents()[os.getpid()])


def descendants(process, others=()):
    """The processes below one, its orphans included, parents first; `others` and what is below them are left out."""
    below, found, waiting = parents(), [], [process]
    while waiting:
        # Whoever has none below it is in no list of parents.
        next_ones = [each for each in below.get(waiting.pop(), ()) if each not in others]
        found += next_ones
        waiting += next_ones
    return found


def end_all(others=()):
    """Ends all processes below this one, those that were orphaned included, and waits for their end. `others` are spared."""
    while processes := descendants(os.getpid(), others):
        for process in processes:
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                pass
        for process in processes:
            try:
                os.waitpid(process, 0)
            except ChildProcessError:
                # It becomes this process's child as soon as its own parent has ended.
                pass


def describe(note, processes):
    """Says what the processes of a run wait for."""
    for process in processes:
        try:
            with open(f"/proc/{process}/cmdline", "rb") as file:
                words = file.read().replace(b"\0", b" ").decode(errors="replace").strip()
            waits = []
            for task in os.listdir(f"/proc/{process}/task"):
                with open(f"/proc/{process}/task/{task}/wchan") as file:
                    waits.append(file.read() or "running")
        except OSError:
            continue
        kinds = ", ".join(f"{count} x {name}" for name, count in collections.Counter(waits).most_common(4))
        note(f"{process} {words[:160]}: {kinds}")
    tests = [each for each in processes if "podidentdPackageTests" in program(each)]
    if tests and shutil.which("gdb"):
        try:
            # The innermost: a test may run this program once more, and wait for it.
            result = subprocess.run(
                ["gdb", "--batch", "-p", str(tests[-1]), "-ex", "thread apply all backtrace 24"],
                capture_output=True, text=True, errors="replace", timeout=120)
        except subprocess.TimeoutExpired:
            return note(f"gdb has not said within two minutes where process {tests[-1]} stands.")
        for line in result.stdout.splitlines():
            if line.startswith(("Thread", "#")):
                note(line[:200])


def program(process):
    """The program that a process was started by."""
    try:
        with open(f"/proc/{process}/cmdline", "rb") as file:
            return file.read().partition(b"\0")[0].decode(errors="replace")
    except OSError:
        return ""


def require_root(target):
    if os.geteuid() != 0:
        sys.exit(f"The tests attach to the kernel and make namespaces and cgroups: run 'make {target}' as root.")
