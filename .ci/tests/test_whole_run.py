"""What `.ci/test` and `.ci/run` print at their end, and that they leave no process."""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

CI = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(CI))

import busy_runs  # noqa: E402

# Runs `.ci/test` with other tests: the function `tests` is what a test of this file gives.
DRIVER = """
import importlib.machinery, importlib.util, os, sys
sys.dont_write_bytecode = True
loader = importlib.machinery.SourceFileLoader("whole", sys.argv[1] + "/test")
whole = importlib.util.module_from_spec(importlib.util.spec_from_loader("whole", loader))
loader.exec_module(whole)
whole.swift_tests.require_root = lambda target: None
sys.argv[1:] = []

def shell(script):
    part = whole.Beside("sh", "-c", script)
    part.name = "a part"
    return part

def run(script):
    whole.run(command=["sh", "-c", script])

signals = os.open(os.environ["READY"], os.O_RDWR)

def ready():
    # A part says so.
    while os.read(signals, 1) != b"\\n":
        pass

def tests(parts):
    whole.swift_tests.keep_orphans()
"""
ROUTINE = """
    echo '◇ Test "a" started.'
    for number in $(seq 2000); do
        printf '\\033[90m◇\\033[0m Test case passing 1 argument row → %s to "a" started.\\n' "$number"
    done
    echo '✔ Test "a" with 2000 test cases passed after 0.1 seconds.'
"""
PASS = "echo '✔ Test run with 1 test in 1 suite passed after 0.1 seconds.'"
FAIL = """
    echo '✘ Test b() recorded an issue at X.swift:1:2: Expectation failed'
    echo '↳ the token is stale'
    echo '✘ Test b() failed after 0.1 seconds with 1 issue.'
    echo '✘ Test run with 2 tests in 1 suite failed after 0.1 seconds with 1 issue.'
    exit 1
"""


class WholeRunTests(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.pipe = f"{folder.name}/ready"
        os.mkfifo(self.pipe)

    def start(self, *lines):
        """Runs `.ci/test` with these lines as its tests."""
        program = DRIVER + "".join(f"    {line}\n" for line in lines) + "whole.tests = tests\nwhole.main()\n"
        return subprocess.Popen(
            [sys.executable, "-uc", program, CI], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
            env=os.environ | {"READY": self.pipe})

    def run_tests(self, *lines):
        with self.start(*lines) as process:
            output, _ = process.communicate(timeout=120)
        self.status = process.returncode
        self.assertNotIn("Traceback", output)
        # Whatever happens, of routine nothing is seen.
        self.assertNotRegex(output, "◇|✔ Test [^r]")
        return output.splitlines()

    def failures(self, lines):
        return [line for line in lines if busy_runs.FAILED.match(line)]

    def test_errors_are_repeated_at_the_end_and_not_as_tests_of_their_own(self):
        lines = self.run_tests(f"run({ROUTINE + FAIL!r})")
        self.assertEqual(self.status, 1)
        self.assertEqual(self.failures(lines), ["✘ Test b() failed after 0.1 seconds with 1 issue."])
        self.assertEqual(lines[-5:], [
            "    ✘ Test b() recorded an issue at X.swift:1:2: Expectation failed", "    ↳ the token is stale",
            "    ✘ Test b() failed after 0.1 seconds with 1 issue.",
            "    ✘ Test run with 2 tests in 1 suite failed after 0.1 seconds with 1 issue.", "Tests failed (status 1)."])

    def test_a_part_that_passed_says_little_and_one_that_failed_all_and_last(self):
        lines = self.run_tests(
            f"parts += [shell({ROUTINE + 'echo a word; ' + PASS!r}), shell({ROUTINE + 'echo what it was; ' + FAIL!r})]",
            f"run({'echo the tests themselves; ' + ROUTINE + PASS!r})",
            "for part in parts: part.finish()")
        self.assertEqual(self.status, 1)
        self.assertNotIn("a word", lines)
        self.assertEqual(sum(line.startswith("✔ Test run with 1 test ") for line in lines), 2)
        self.assertEqual(len(self.failures(lines)), 1)
        place = lines.index("what it was")
        self.assertGreater(place, lines.index("the tests themselves"))
        self.assertEqual(lines[place + 2:place + 4], ["↳ the token is stale", self.failures(lines)[0]])
        self.assertEqual(len(lines), place + 6)
        self.assertEqual(lines[-1], "a part failed (status 1).")

    def test_parts_that_still_run_when_the_tests_fail_are_told_before_it_and_ended(self):
        hangs = ROUTINE + "for n in 1 2 3 4 5 6 7 8; do echo $n; done; sleep 600 & echo $!; echo here; echo > $READY; wait"
        fails = (
            "echo first; echo '✘ Test c() failed after 1 seconds.'; for n in 1 2 3 4 5 6 7; do echo $n; done; echo > $READY; "
            "sleep 600")
        lines = self.run_tests(
            f"parts += [shell({fails!r}), shell({hangs!r})]", "for part in parts: ready()",
            f"run({'echo the tests themselves; ' + FAIL!r})")
        self.assertEqual(self.status, 1)
        ended = [number for number, line in enumerate(lines) if line.endswith("was still running, and was ended:")]
        self.assertEqual(len(ended), 2)
        # The one that nothing failed in comes first, with its last words alone.
        quiet, loud = lines[ended[0] + 1:ended[1]], lines[ended[1] + 1:]
        self.assertEqual((quiet[:3], quiet[-1]), (["6", "7", "8"], "here"))
        with self.assertRaises(ProcessLookupError):
            os.kill(int(quiet[3]), 0)
        self.assertEqual(loud[:2], ["first", "✘ Test c() failed after 1 seconds."])
        self.assertRegex(loud[-2], "^    ✘ Test run with 2 tests ")
        self.assertEqual(len(self.failures(lines)), 2)

    def test_a_run_without_tests_says_what_was_heard_last(self):
        lines = self.run_tests("run('for n in 1 2 3 4 5 6 7; do echo line $n; done')")
        self.assertEqual(self.status, 1)
        self.assertEqual(lines[-6:], [f"    line {number}" for number in range(3, 8)] + ["No test ran."])
        self.assertEqual(self.run_tests("run('true')")[-2:], ["    Nothing was heard.", "No test ran."])

    def test_a_skipped_test_is_a_failure_and_named_at_the_end(self):
        lines = self.run_tests(f"run({'echo ➜ Test d was skipped; ' + PASS!r})")
        self.assertEqual(lines[-2:], ["    ➜ Test d was skipped", "Tests were skipped: here that is a failure."])

    def test_a_crash_says_what_had_begun(self):
        lines = self.run_tests("run('echo \"◇ Test e() started.\"; echo \"X.swift:1: Fatal error: no token\"; kill -ILL $$')")
        self.assertEqual(
            lines[-3:], ["    X.swift:1: Fatal error: no token", "    Begun and not ended: e()", "Tests failed (status -4)."])

    def test_what_passes_ends_with_zero(self):
        lines = self.run_tests(f"parts += [shell({PASS!r})]", f"run({ROUTINE + PASS!r})", "parts[0].finish()")
        self.assertEqual((self.status, self.failures(lines)), (0, []))

    def test_a_script_that_fails_is_one_sentence(self):
        self.assertEqual(self.run_tests("whole.bash('nothing')")[-1], ".ci/nothing failed (status 127).")
        self.assertEqual(self.status, 1)

    def test_told_to_end_it_leaves_nothing_whatever_it_does(self):
        sleeper = "sleep 600 & echo $!; wait"
        beside = ["parts += [shell('sleep 600 & echo $!; echo > $READY; wait')]", "ready()", "print(parts[0].lines()[0])"]
        for lines, count in ((beside + ["parts[0].finish()"], 1), (beside + [f"run({sleeper!r})"], 2)):
            for number in (signal.SIGTERM, signal.SIGHUP):
                with self.subTest(lines=lines, number=number), self.start(*lines) as process:
                    found = [int(process.stdout.readline()) for _ in range(count)]
                    process.send_signal(number)
                    self.assertEqual(process.wait(timeout=60), 128 + number)
                    self.assertEqual([each for each in found if os.path.exists(f"/proc/{each}")], [])


class ContinuousTests(unittest.TestCase):
    """`.ci/run`, in a folder where nothing is built."""

    def run_all(self, tests, cost):
        with tempfile.TemporaryDirectory() as folder:
            root, programs = pathlib.Path(folder, "root"), pathlib.Path(folder, "programs")
            (root / ".ci").mkdir(parents=True)
            programs.mkdir()
            shutil.copy(CI / "run", root / ".ci/run")
            (root / ".ci/install").write_text("")
            make = f"case $* in build) ;; test) {tests};; *cost) {cost};; esac"
            for name, text in (("make", make), ("chrt", 'shift 2; exec "$@"')):
                (programs / name).write_text(f"#!/bin/sh\n{text}\n")
                (programs / name).chmod(0o755)
            os.mkfifo(root / "fifo")
            return subprocess.run(
                ["bash", root / ".ci/run"], env=os.environ | {"PATH": f"{programs}:{os.environ['PATH']}"}, timeout=60,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def test_what_failed_comes_last(self):
        result = self.run_all("echo the tests", "echo the cost; exit 3")
        self.assertEqual((result.returncode, result.stdout), (3, "the tests\nthe cost\n"))
        result = self.run_all("echo the tests; exit 2", "echo the cost")
        self.assertEqual((result.returncode, result.stdout), (2, "the tests\n"))
        result = self.run_all("echo the tests", "echo the cost")
        self.assertEqual((result.returncode, result.stdout), (0, "the tests\nthe cost\n"))

    def test_failed_tests_end_the_count_of_instructions_with_all_that_it_started(self):
        # It opens the pipe for what it starts, and the tests end when that is there.
        result = self.run_all("read -r number < fifo; echo $number; exit 2", "sleep 600 & echo $! > fifo; wait")
        self.assertEqual(result.returncode, 2)
        # Signalled, it is gone as soon as it is its turn.
        deadline = time.monotonic() + 60
        while is_running(int(result.stdout)) and time.monotonic() < deadline:
            time.sleep(0.01)
        self.assertFalse(is_running(int(result.stdout)))


def is_running(process):
    """Whether a process does anything any more: one that nobody waits for stays as a number."""
    try:
        return pathlib.Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


if __name__ == "__main__":
    unittest.main()
