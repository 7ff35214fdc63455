"""The processes below this one, and those that their parents have left: what they do, and their end."""

import collections
import ctypes
import os
import shutil
import signal
import subprocess
import time

# `prctl(2)`: orphans below this process become its children, so that none of a run's processes gets lost.
PR_SET_CHILD_SUBREAPER = 36


def keep_statuses():
    """Lets this process know how its children end. Below a process that ignores SIGCHLD, Python takes each status for 0."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def keep_orphans():
    """Makes this process the parent of every orphan below it."""
    keep_statuses()
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def bury():
    """Takes the statuses of the children that have ended, which count as processes until then. Nobody may wait for one."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def parents():
    """The processes by the number of their parent."""
    found = collections.defaultdict(list)
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", errors="replace") as file:
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
        next_ones = [each for each in below.get(waiting.pop(), ()) if each not in others]
        found += next_ones
        waiting += next_ones
    return found


def end_all(others=()):
    """Ends all processes below this one, those that were orphaned included, and waits for their end. `others` are spared."""
    while found := descendants(os.getpid(), others):
        for process in found:
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                pass
        # Not one after the other: the first process of a PID namespace ends after those in it, which may be this one's children.
        for process in found:
            try:
                os.waitpid(process, os.WNOHANG)
            except ChildProcessError:
                # A process further down becomes this one's child as soon as its own parent has ended.
                pass
        time.sleep(0.01)


def describe(note, described):
    """Says what the processes of a run wait for."""
    for process in described:
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
    tests = [each for each in described if "podidentdPackageTests" in program(each)]
    if tests and shutil.which("gdb"):
        try:
            # The last is the innermost: a test may run this program once more, and wait for it.
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
