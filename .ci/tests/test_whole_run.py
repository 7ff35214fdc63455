"""What `.ci/test` and `.ci/run` print at their end, and that they leave no process."""

import contextlib
import os
import pathlib
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

CI = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(CI))

import busy_runs  # noqa: E402

ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
# Runs `.ci/test` with other tests: the function `tests` is what a test of this file gives.
DRIVER = """
import os, sys
sys.path.insert(0, sys.argv[1])
from tests import load
whole = load("test")
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
    whole.processes.keep_orphans()
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


def ignore(numbers):
    """Lets this process ignore these signals, and no other one that its parent may have ignored, as nohup does."""
    for number in (*ENDING, signal.SIGCHLD):
        signal.signal(number, signal.SIG_IGN if number in numbers else signal.SIG_DFL)


@contextlib.contextmanager
def started(command, variables, ignored):
    """A process that ignores some signals. A test that fails does not wait for its end."""
    with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", errors="replace",
            env=os.environ | variables, preexec_fn=lambda: ignore(ignored)) as process:
        try:
            yield process
        finally:
            process.kill()


class WholeRunTests(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.pipe = f"{folder.name}/ready"
        os.mkfifo(self.pipe)

    def start(self, *lines, ignored=(), **variables):
        """Runs `.ci/test` with these lines as its tests."""
        program = DRIVER + "".join(f"    {line}\n" for line in lines) + "whole.tests = tests\nwhole.main()\n"
        return started([sys.executable, "-uc", program, CI], {"READY": self.pipe} | variables, ignored)

    def run_tests(self, *lines, **start):
        with self.start(*lines, **start) as process:
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

    def test_a_failure_is_one_whatever_the_status_of_the_program(self):
        lines = self.run_tests(f"run({FAIL.replace('exit 1', 'exit 0')!r})")
        self.assertEqual((self.status, lines[-1]), (1, "Tests failed, and the status of their program is 0."))
        self.assertEqual(lines[-2], "    ✘ Test run with 2 tests in 1 suite failed after 0.1 seconds with 1 issue.")

    def test_a_program_that_ends_before_its_tests_has_failed(self):
        script = ROUTINE + "echo '◇ Test e() started.'"
        lines = self.run_tests(f"run({script!r})")
        self.assertEqual(self.status, 1)
        self.assertEqual(lines[-2:], ["    Begun and not ended: e()", "The program of the tests ended before they did."])

    def test_a_failure_is_one_below_a_process_that_ignores_the_ends_of_its_children(self):
        lines = self.run_tests(f"run({FAIL!r})", ignored=[signal.SIGCHLD])
        self.assertEqual((self.status, lines[-1]), (1, "Tests failed (status 1)."))
        self.assertEqual(self.run_tests("whole.bash('nothing')", ignored=[signal.SIGCHLD])[-1], ".ci/nothing failed (status 127).")

    def test_what_is_read_and_printed_is_utf_8_whatever_the_language(self):
        # The sign of a failure in octal, for a shell.
        script = r"printf '\342\234\230 Test b() failed after 0.1 seconds with 1 issue.\n'; exit 1"
        for variables in ({"PYTHONIOENCODING": "latin-1"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}):
            with self.subTest(variables):
                lines = self.run_tests(f"run({script!r})", **variables)
                self.assertEqual((self.status, len(self.failures(lines))), (1, 1))
                self.assertEqual(
                    lines[-2:], ["    ✘ Test b() failed after 0.1 seconds with 1 issue.", "Tests failed (status 1)."])

    def test_a_part_that_hangs_is_named_and_ended(self):
        script = f"{PASS}; echo here; echo > $READY; sleep 600"
        lines = self.run_tests(f"parts += [shell({script!r})]", "ready()", "parts[0].finish(seconds=0.1)")
        self.assertEqual(self.status, 1)
        self.assertEqual(lines[-1], "a part has not ended within 0 minutes.")
        self.assertIn("here", lines)

    def test_an_orphan_that_has_ended_is_not_left_behind(self):
        # The shell that starts it does not wait for it.
        lines = self.run_tests(
            "run('(true &); echo \"✔ Test a() passed after 1 seconds.\"; ' + " + repr(PASS) + ")",
            "whole.census = lambda: [f'processes {len(whole.processes.children())}']", "whole.check(['processes 0'])")
        self.assertEqual((self.status, lines[-1]), (0, "Nothing was left behind: processes 0."))

    def test_another_pid_namespace_ends_as_well(self):
        # Its first process ends after the other one, and both are children of the tests' script by then: their parents have ended.
        script = """
            unshare --pid --fork sleep 600 &
            outer=$!
            until inner=$(pgrep --parent $outer); do :; done
            nsenter --pid=/proc/$inner/ns/pid sleep 600 &
            until pgrep --parent $!; do :; done
            kill -KILL $outer $!
            wait $outer $! || echo > "$READY"
            sleep 600
        """
        lines = self.run_tests(f"parts += [shell({script!r})]", "ready()", "raise whole.Failed('It is over.')")
        self.assertEqual((self.status, lines[-1]), (1, "It is over."))

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
            for number, ignored in [(each, ()) for each in ENDING] + [(signal.SIGTERM, [signal.SIGTERM])]:
                with self.subTest(lines=lines, number=number), self.start(*lines, ignored=ignored) as process:
                    found = [int(process.stdout.readline()) for _ in range(count)]
                    # By make, and by who ends all processes of a job.
                    process.send_signal(number)
                    process.send_signal(number)
                    self.assertEqual(process.wait(timeout=60), 128 + number)
                    self.assertEqual([each for each in found if os.path.exists(f"/proc/{each}")], [])
                    self.assertNotIn("Traceback", process.stdout.read())


class ContinuousTests(unittest.TestCase):
    """`.ci/run`, in a folder where nothing is built."""

    @contextlib.contextmanager
    def start(self, tests, cost, build="", ignored=()):
        with tempfile.TemporaryDirectory() as folder:
            root, programs = pathlib.Path(folder, "root"), pathlib.Path(folder, "programs")
            (root / ".ci").mkdir(parents=True)
            programs.mkdir()
            shutil.copy(CI / "run", root / ".ci/run")
            (root / ".ci/install").write_text("")
            make = f"case $* in build) {build or ':'};; test) {tests};; *cost) {cost};; esac"
            for name, text in (("make", make), ("chrt", 'shift 2; exec "$@"')):
                (programs / name).write_text(f"#!/bin/sh\n{text}\n")
                (programs / name).chmod(0o755)
            os.mkfifo(root / "fifo")
            variables = {"PATH": f"{programs}:{os.environ['PATH']}", "TMPDIR": str(programs)}
            with started(["bash", root / ".ci/run"], variables, ignored) as process:
                yield process
            # Its log of the count is gone.
            self.assertEqual(sorted(path.name for path in programs.iterdir()), ["chrt", "make"])

    def run_all(self, *scripts, **start):
        with self.start(*scripts, **start) as process:
            output, _ = process.communicate(timeout=60)
        return subprocess.CompletedProcess(process.args, process.returncode, output)

    def test_what_failed_comes_last(self):
        result = self.run_all("echo the tests", "echo the cost; exit 3")
        self.assertEqual((result.returncode, result.stdout), (3, "the tests\nthe cost\n"))
        result = self.run_all("echo the tests; exit 2", "echo the cost")
        self.assertEqual((result.returncode, result.stdout), (2, "the tests\n"))
        result = self.run_all("echo the tests", "echo the cost")
        self.assertEqual((result.returncode, result.stdout), (0, "the tests\nthe cost\n"))

    def test_failed_tests_end_the_count_of_instructions_with_all_that_it_started(self):
        # The tests end when the process is there whose number comes by the pipe.
        for ignored in ((), [signal.SIGTERM]):
            with self.subTest(ignored=ignored):
                result = self.run_all(
                    "read -r number < fifo; echo $number; exit 2", "sleep 600 & echo $! > fifo; wait", ignored=ignored)
                self.assertEqual(result.returncode, 2)
                self.assertTrue(has_ended(int(result.stdout)))

    def test_a_failed_build_is_the_end(self):
        result = self.run_all("echo the tests", "echo the cost", build="echo error: no such module; exit 2")
        self.assertEqual((result.returncode, result.stdout), (2, "error: no such module\n"))

    def test_told_to_end_it_ends_the_tests_which_clean_up_and_the_count(self):
        tests = "trap 'echo cleaned up; exit 1' TERM; read -r number < fifo; echo $number; sleep 600 & echo $!; wait"
        cost = "sleep 600 & echo $! > fifo; wait"
        for number in ENDING:
            with self.subTest(number=number), self.start(tests, cost) as process:
                begun = [int(process.stdout.readline()) for _ in range(2)]
                process.send_signal(number)
                self.assertEqual(process.wait(timeout=60), 128 + number)
                self.assertEqual([has_ended(each) for each in begun], [True, True])
                self.assertEqual(process.stdout.read(), "cleaned up\n")

    def test_told_to_end_it_ends_the_build(self):
        with self.start("", "", build="sleep 600 & echo $!; wait") as process:
            begun = int(process.stdout.readline())
            process.terminate()
            self.assertEqual(process.wait(timeout=60), 128 + signal.SIGTERM)
            self.assertTrue(has_ended(begun))


def has_ended(process):
    """Whether a process, which is no child of this one, ends within a minute."""
    try:
        descriptor = os.pidfd_open(process)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], 60)[0])
    finally:
        os.close(descriptor)


if __name__ == "__main__":
    unittest.main()
