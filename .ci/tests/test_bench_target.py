"""`make bench` calls programs with options that they have, whatever is chosen."""

import itertools
import os
import pathlib
import re
import subprocess
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BENCHMARKS = ROOT / "Benchmarks"
CALL = re.compile(r"^python3 (Benchmarks/\w+\.py)(.*)$", re.MULTILINE)


# What a caller's make, or its shell, may hand down.
CALLERS = {"MAKEFLAGS", "MAKELEVEL", "MFLAGS", "QUICK", "ONLY", "ROWS", "STARTS", "BEFORE", "AGENT", "CLOUDS", "SPIFFE"}


def dry_run(*arguments):
    return subprocess.run(
        ["make", "--dry-run", "--no-print-directory", "bench", *arguments], cwd=ROOT, capture_output=True, text=True,
        env={name: value for name, value in os.environ.items() if name not in CALLERS})


def options(script):
    """The options that a benchmark's own source declares, and those of all."""
    text = "".join(path.read_text() for path in (ROOT / script, *BENCHMARKS.glob("harness/*.py")))
    return set(re.findall(r'add_argument\("(--[a-z]+)"', text))


class BenchTargetTests(unittest.TestCase):
    def calls(self, *arguments):
        result = dry_run(*arguments)
        self.assertEqual(result.returncode, 0, result.stderr)
        shell = subprocess.run(["bash", "-n"], input=result.stdout, capture_output=True, text=True)
        self.assertEqual(shell.stderr, "")
        calls = CALL.findall(result.stdout.replace("\\\n", " "))
        for script, rest in calls:
            if script not in ("Benchmarks/draw.py", "Benchmarks/readme.py"):
                self.assertLessEqual(set(re.findall(r"--[a-z]+", rest)), options(script), script)
        # First each is asked whether it knows its options; it measures after the release build.
        checks = [(script, rest.replace(" --check", "").strip()) for script, rest in calls if " --check" in rest]
        calls = [(script, rest.strip()) for script, rest in calls if " --check" not in rest]
        self.assertEqual(checks, [call for call in calls if call[0] not in ("Benchmarks/draw.py", "Benchmarks/readme.py")])
        self.assertGreater(result.stdout.index(".ci/release"), result.stdout.rindex("--check"))
        return [script.removeprefix("Benchmarks/") for script, _ in calls], result.stdout

    def test_each_choice_runs_its_benchmark_and_both_run_both(self):
        for chosen in itertools.product([[], ["CLOUDS=1"]], [[], ["SPIFFE=1"]], [[], ["ONLY=cached"]], [[], ["AGENT=/x"]]):
            arguments = list(itertools.chain(*chosen))
            with self.subTest(arguments):
                scripts, text = self.calls(*arguments)
                wanted = [name for key, name in (("CLOUDS=1", "clouds.py"), ("SPIFFE=1", "spiffe.py")) if key in arguments]
                self.assertEqual(scripts, wanted or ["bench.py", "draw.py", "readme.py"])
                lines = [line.strip() for line in text.splitlines()]
                self.assertEqual("bash .ci/setup-clients all" in lines, "CLOUDS=1" in arguments)
                self.assertEqual(
                    "bash .ci/setup-clients && bash .ci/install nghttp2-client" in lines, "SPIFFE=1" in arguments)

    def test_quick_rounds_of_the_figures_and_of_spiffe(self):
        self.assertEqual(self.calls("QUICK=1", "ROWS=x", "STARTS=2", "BEFORE=/y")[0], ["bench.py", "draw.py"])
        self.assertEqual(self.calls("QUICK=1", "SPIFFE=1")[0], ["spiffe.py"])
        self.assertEqual(self.calls("QUICK=0", "SPIFFE=0", "CLOUDS=0")[0], ["bench.py", "draw.py", "readme.py"])

    def test_an_option_that_the_choice_does_not_have_is_refused_before_anything_is_built(self):
        for arguments in (["SPIFFE=1", "ROWS=x"], ["CLOUDS=1", "STARTS=2"], ["SPIFFE=1", "BEFORE=/y"], ["CLOUDS=1", "QUICK=1"]):
            with self.subTest(arguments):
                result = dry_run(*arguments)
                self.assertNotEqual(result.returncode, 0)
                self.assertRegex(result.stderr, r"leave them out with CLOUDS and SPIFFE|CLOUDS has no QUICK")
                self.assertNotIn("release", result.stdout)

    def test_a_value_that_a_benchmark_does_not_take_is_one_sentence(self):
        for script, words, sentence in (
                ("bench.py", ["--only", "11"], "no such figures: 11; there are 1, 2,"),
                ("bench.py", ["--rows", "x"], "no such rows: x; there are restart,"),
                ("bench.py", ["--rounds", "0"], "a whole number above 0 is needed, and not '0'"),
                ("bench.py", ["--scenes", "10,x"], "'x' is neither a number of pods nor 'nested'"),
                ("bench.py", ["--agent", "/nowhere"], "there is no program at '/nowhere'"),
                ("bench.py", ["--before", "/nowhere"], "a checkout of .* with its release build is needed"),
                ("clouds.py", ["--only", "x"], "no such parts: x; there are cached,"),
                ("spiffe.py", ["--agent", "/tmp"], "there is no program at '/tmp'")):
            with self.subTest(script=script, words=words):
                result = subprocess.run(
                    ["python3", BENCHMARKS / script, "--check", *words], capture_output=True, text=True, timeout=60)
                self.assertEqual((result.returncode, result.stdout), (2, ""))
                self.assertRegex(result.stderr, rf"^{script}: .*{sentence}.*\n$")
        for script in ("bench.py", "clouds.py", "spiffe.py"):
            self.assertEqual(subprocess.run(["python3", BENCHMARKS / script, "--check"], timeout=60).returncode, 0)


if __name__ == "__main__":
    unittest.main()
