"""What a run of the tests says is read rightly, and one that hangs is ended with all its processes."""

import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import unittest
import unittest.mock

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import swift_tests  # noqa: E402

OUTPUT = """\
◇ Test run started.
↳ Testing Library Version: 6.3.1
◇ Suite ConformanceTests started.
◇ Test "case 7 case 8 a token" started.
✔ Test "case 7 case 8 a token" passed after 0.100 seconds.
◇ Test "the checklist holds" started.
◇ Test case passing 1 argument row → case 12 a slash to "the checklist holds" started.
✘ Test "the checklist holds" recorded an issue with 1 argument row → case 12 a slash at X.swift:1:2: failed
◇ Test case passing 1 argument row → case 13 no slash to "the checklist holds" started.
✘ Test "the checklist holds" with 2 test cases failed after 0.2 seconds with 1 issue.
➜ Test "not here" skipped: "no kernel"
◇ Test hangs() started.
a line of a test's own
✘ Test run with 4 tests in 1 suite failed after 3 seconds with 1 issue.
"""


class RecordTests(unittest.TestCase):
    def setUp(self):
        self.record = swift_tests.Record()
        self.shown = [line for line in OUTPUT.splitlines() if self.record.read(line)]
        self.record.finish()

    def test_what_began_and_did_not_end_is_known(self):
        self.assertEqual(self.record.running, ["ConformanceTests", "hangs()"])
        self.assertEqual((self.record.ended, self.record.failed), (2, 1))

    def test_the_slowest_tests_are_known_and_suites_are_none(self):
        self.record.read('✔ Test "quick" passed after 0.020 seconds.')
        self.record.read("✔ Suite SlowTests passed after 90.1 seconds.")
        self.record.read("✔ Test slow() passed after 61.4 seconds.")
        self.assertEqual(self.record.slowest(2), ["61 s: slow()", '0 s: "the checklist holds"'])

    def test_a_skipped_test_is_known(self):
        self.assertEqual(len(self.record.skipped), 1)

    def test_cases_are_rows_with_a_verdict_of_their_own(self):
        self.assertEqual(
            self.record.numbered(),
            [(7, True, "a token"), (8, True, "a token"), (12, False, "a slash"), (13, True, "no slash")])

    def test_routine_is_not_shown_and_everything_else_is(self):
        self.assertIn("a line of a test's own", self.shown)
        self.assertTrue(any("recorded an issue" in line for line in self.shown))
        self.assertFalse(any("passed after" in line or line.startswith("◇") for line in self.shown))

    def test_what_a_run_came_to_is_shown_also_when_all_passed(self):
        line = "✔ Test run with 4 tests in 1 suite passed after 3 seconds."
        self.assertTrue(self.record.read(line))
        self.assertEqual(self.record.summary, line)

    def test_a_coloured_run_is_read_as_one_without_colours(self):
        record = swift_tests.Record()
        coloured = re.sub("[◇✔✘➜↳]", lambda sign: f"\x1b[38;5;8m{sign[0]}\x1b[0m", OUTPUT)
        self.assertNotEqual(coloured, OUTPUT)
        shown = [swift_tests.plain(line) for line in coloured.splitlines() if record.read(line)]
        record.finish()
        self.assertEqual(shown, self.shown)
        self.assertEqual(vars(record), vars(self.record))

    def test_arguments_of_several_lines_are_routine_to_their_last(self):
        record = swift_tests.Record()
        lines = [
            '◇ Test case passing 1 argument text → "a:', "", "error: none", 'b" to "YAML is read" started.', "a line of a test's own",
            '◇ Test case passing 1 argument text → "a', "b", "✘ Test c() failed after 1 seconds with 1 issue.", "another line"]
        self.assertEqual([line for line in lines if record.read(line)], [lines[4], *lines[-2:]])
        self.assertEqual(record.errors, [lines[-2]])

    def test_an_error_is_shown_whatever_is_in_it(self):
        for line in ("✘ Test a() recorded an issue at X.swift:1:2: the agent is started.", "↳ the token is passed after a minute",
                     "    ↳ the agent was started.", "X.swift:1: Fatal error: it has passed after all"):
            self.assertFalse(swift_tests.is_routine(line), line)
        for line in ("", " ", "foo◇ Test a() started.", "✔ Test a() passed after 1 seconds.", "Test Case 'a' started"):
            self.assertTrue(swift_tests.is_routine(line), line)

    def test_what_a_test_says_of_its_issue_is_kept_with_it(self):
        record = swift_tests.Record()
        lines = ["↳ Testing Library Version: 6.3.1", "✘ Test a() recorded an issue at X.swift:1:2: failed", "↳ the token is stale",
                 "a line of a test's own", "↳ something else", "X.swift:3: Fatal error: index out of range"]
        for line in lines:
            record.read(line)
        self.assertEqual(record.errors, [*lines[1:3], lines[5]])
        self.assertEqual(list(record.last), lines[1:])

    def test_an_argument_with_a_nul_hides_no_end(self):
        record = swift_tests.Record()
        record.read('◇ Test "odd" started.')
        record.read('◇ Test case passing 1 argument text → "a✘ Test "odd" with 2 test cases failed after 0.1 seconds with 1 issue.')
        self.assertEqual((record.running, record.ended, record.failed), ([], 1, 1))

    def test_a_case_that_never_ends_has_failed(self):
        record = swift_tests.Record()
        record.read('◇ Test "case 3 never ends" started.')
        record.finish()
        self.assertEqual(record.numbered(), [(3, False, "never ends")])


class RunTests(unittest.TestCase):
    def run_shell(self, script, explain=lambda note, processes: None, **limits):
        self.record, self.lines, self.notes = swift_tests.Record(), [], []
        return swift_tests.run(
            [script], self.record, self.lines.append, swift_tests.Limits(**limits), command=["sh", "-c"],
            note=self.notes.append, explain=explain)

    def test_the_status_is_the_programs(self):
        self.assertEqual(self.run_shell("echo said; exit 3"), 3)
        self.assertEqual(self.lines, ["said"])

    def test_a_silent_run_is_ended_with_what_it_started(self):
        # The inner shell leaves its parent, as a daemon does; its number is told before.
        script = "echo '◇ Test hangs() started.'; sh -c 'sleep 600 & echo $!'; sleep 600"
        self.assertEqual(self.run_shell(script, silence=5), 124)
        self.assertIn("Begun and not ended: hangs()", self.notes)
        orphan = int(self.lines[0])
        self.assertFalse(os.path.exists(f"/proc/{orphan}"))

    def test_no_colours_are_asked_for_whatever_the_environment(self):
        for variables in ({"TERM": "xterm"}, {"TERM": "xterm-256color", "NO_COLOR": "", "CLICOLOR_FORCE": "1"}):
            with self.subTest(variables), unittest.mock.patch.dict(os.environ, variables):
                self.assertEqual(self.run_shell('echo "NO_COLOR is $NO_COLOR"'), 0)
                self.assertEqual(self.lines, ["NO_COLOR is 1"])

    def test_a_run_that_hangs_is_explained_by_its_own_processes_and_another_one_goes_on(self):
        named = "exec -a podidentdPackageTests.xctest sleep 600"
        other = subprocess.Popen(["bash", "-c", f"({named}) & echo $!; wait"], stdout=subprocess.PIPE, text=True)
        self.addCleanup(other.wait)
        self.addCleanup(other.kill)
        neighbour = int(other.stdout.readline())
        self.addCleanup(os.kill, neighbour, signal.SIGKILL)
        self.addCleanup(other.stdout.close)
        # Its parent has left it when the run hangs, and it has its name.
        ready = 'until grep -aqs "^podidentd" /proc/$!/cmdline; do :; done'
        script = f"bash -c '({named}) & {ready}; echo $!'; exec sleep 600"
        with tempfile.TemporaryDirectory() as folder:
            gdb = pathlib.Path(folder, "gdb")
            gdb.write_text('#!/bin/sh\necho "#0 of process $3"\n')
            gdb.chmod(0o755)
            with unittest.mock.patch.dict(os.environ, {"PATH": f"{folder}:{os.environ['PATH']}"}):
                self.assertEqual(self.run_shell(script, explain=None, silence=5), 124)
        orphan = int(self.lines[0])
        self.assertIn(f"#0 of process {orphan}", self.notes)
        self.assertTrue(any(note.startswith(f"{orphan} podidentdPackageTests.xctest 600: ") for note in self.notes), self.notes)
        self.assertFalse(any(re.search(rf"\b{neighbour}\b", note) for note in self.notes))
        self.assertFalse(os.path.exists(f"/proc/{orphan}"))
        self.assertTrue(os.path.exists(f"/proc/{neighbour}"))
        self.assertIsNone(other.poll())

    def test_a_run_that_is_told_to_end_leaves_no_process(self):
        script = (
            "import sys; sys.path.insert(0, sys.argv[1]); import swift_tests\n"
            "swift_tests.run([], swift_tests.Record(), print, command=['bash', '-c', 'sleep 3600 & echo $!; wait'])\n")
        runner = subprocess.Popen(
            [sys.executable, "-uc", script, str(pathlib.Path(swift_tests.__file__).parent)],
            stdout=subprocess.PIPE, text=True)
        sleeper = int(runner.stdout.readline())
        runner.terminate()
        self.assertEqual(runner.wait(timeout=60), 128 + signal.SIGTERM)
        runner.stdout.close()
        with self.assertRaises(ProcessLookupError):
            os.kill(sleeper, 0)

    def test_a_long_run_says_that_it_goes_on(self):
        self.assertEqual(self.run_shell("echo '✔ Test a() passed after 1 seconds.'", progress=0), 0)
        self.assertTrue(any("1 tests and suites ended, 0 failed" in note for note in self.notes))


if __name__ == "__main__":
    unittest.main()
