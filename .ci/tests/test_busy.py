"""The runs beside busy loops: the loops are there, and go; every run is told, with what failed in it."""

import os
import pathlib
import subprocess
import sys
import tempfile
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
        self.assertEqual((runs[1].failures, runs[1].suites), (["a token is served"], ["TokenTests"]))
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
        self.assertEqual((runs[0].status, runs[0].tests, runs[0].failures), (0, 4, []))
        self.assertRegex(busy_runs.table(runs).splitlines()[1], r"^1 +0\.0 +passed$")

    def test_a_run_is_what_ci_runs_or_the_tests_that_match(self):
        self.assertTrue(busy_runs.commands("")[0].endswith(".ci/test"))
        self.assertEqual(busy_runs.commands("TextTests")[-2:], ["--filter", "TextTests"])


class PageTests(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.page = pathlib.Path(folder.name, "busy.md")

    def append(self, *runs):
        for run in runs:
            busy_runs.append(run, "2026-11-30 01:02", "0123456789", self.page)
        return self.page.read_text()

    def test_each_run_is_a_row_more_and_the_sum_is_of_all(self):
        self.append(busy_runs.Run(1, 0, 3600, 1400))
        text = self.append(busy_runs.Run(1, 1, 1800, 1399, ["a | b", "c"], ["TokenTests"]), busy_runs.Run(2, 0, 3660, 1400))
        self.assertIn(
            "**3 runs at 1 commit: 4,199 tests, 2 failed, in 151 minutes. 2 runs without a failure, the last 1 in a row.**", text)
        self.assertEqual(
            busy_runs.rows(text),
            [["1", "2026-11-30 01:02", "0123456789", "60.0", "1400", "0", "-"],
             ["2", "2026-11-30 01:02", "0123456789", "30.0", "1399", "2", "a / b; c"],
             ["3", "2026-11-30 01:02", "0123456789", "61.0", "1400", "0", "-"]])

    def test_a_run_that_no_test_failed_and_that_failed_all_the_same_is_no_good_one(self):
        text = self.append(busy_runs.Run(1, 0, 60, 1), busy_runs.Run(2, 124, 60, 1))
        self.assertEqual(busy_runs.rows(text)[1][5:], ["0", "ended with status 124"])
        self.assertIn("1 run without a failure, the last 0 in a row.", text)

    def test_runs_are_kept_one_by_one_and_not_when_all_are_over(self):
        kept = []
        busy_runs.repeat(2, ["sh", "-c", "true"], print, lambda note: kept.append(note), keep=lambda run: kept.append(run.number))
        self.assertEqual(kept, ["Run 1 of 2", 1, "Run 2 of 2", 2])

    def test_the_committed_page_is_as_the_program_writes_it(self):
        text = busy_runs.PAGE.read_text()
        self.assertEqual(busy_runs.page(busy_runs.rows(text)), text)

    def test_the_commit_is_named(self):
        self.assertRegex(busy_runs.head(), r"^([0-9a-f]{10}|unknown)\+?$")


if __name__ == "__main__":
    unittest.main()
