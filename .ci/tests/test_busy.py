"""The runs beside busy loops: the loops are there, and go; every run is told, with what failed in it."""

import os
import pathlib
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import busy_runs  # noqa: E402


class LoopTests(unittest.TestCase):
    def test_loops_share_the_session_and_end_with_the_block(self):
        with busy_runs.BusyLoops(2) as loops:
            numbers = [process.pid for process in loops.processes]
            self.assertEqual([os.getsid(number) for number in numbers], [os.getsid(0)] * 2)
        self.assertFalse(any(os.path.exists(f"/proc/{number}") for number in numbers))

    def test_loops_end_with_a_driver_that_is_killed(self):
        # Pipes end when the last process that holds them does: no loop is left behind.
        script = (
            "import os, signal, sys; sys.path.insert(0, sys.argv[1]); import busy_runs\n"
            "busy_runs.BusyLoops(2).__enter__()\n"
            "os.kill(os.getpid(), signal.SIGKILL)\n")
        folder = str(pathlib.Path(busy_runs.__file__).parent)
        result = subprocess.run(
            [sys.executable, "-c", script, folder], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
        self.assertEqual(result.returncode, -9)


class RepeatTests(unittest.TestCase):
    def repeat(self, count, script):
        self.shown, self.notes = [], []
        return busy_runs.repeat(count, ["sh", "-c", script], self.shown.append, self.notes.append)

    def test_every_run_is_told_and_a_failed_one_ends_nothing(self):
        script = """
            echo '✘ Test "a token is served" recorded an issue at X.swift:1:2: failed'
            echo '✘ Test "a token is served" failed after 1.0 seconds with 1 issue.'
            echo '✘ Suite TokenTests failed after 1.0 seconds with 1 issue.'
            exit 3"""
        runs = self.repeat(2, script)
        self.assertEqual([run.status for run in runs], [3, 3])
        self.assertEqual(runs[1].failures, ["a token is served", "TokenTests"])
        self.assertEqual(self.notes[:2], ["Run 1 of 2", "Run 2 of 2"])
        lines = busy_runs.table(runs).splitlines()
        self.assertEqual(len(lines), 3)
        self.assertRegex(lines[2], r"^2 +0\.0 +failed \(3\) +a token is served; TokenTests$")

    def test_each_run_has_its_loops(self):
        # Counts the loops among this run's siblings.
        script = "ps -o args= --ppid $PPID | grep -c 'while True: pas[s]'"
        self.repeat(2, script)
        self.assertEqual([line for line in self.shown], ["2", "2"])

    def test_a_run_without_a_failure_passes(self):
        runs = self.repeat(1, "echo '✔ Test run with 4 tests in 1 suite passed after 3 seconds.'")
        self.assertEqual((runs[0].status, runs[0].failures), (0, []))
        self.assertRegex(busy_runs.table(runs).splitlines()[1], r"^1 +0\.0 +passed$")

    def test_a_run_is_what_ci_runs_or_the_tests_that_match(self):
        self.assertTrue(busy_runs.commands("")[0].endswith(".ci/test"))
        self.assertEqual(busy_runs.commands("TextTests")[-2:], ["--filter", "TextTests"])
