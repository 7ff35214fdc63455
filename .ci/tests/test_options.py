"""Options with values that cannot be: each target and tool says in one sentence what is wrong, before it does anything."""

import os
import pathlib
import re
import subprocess
import sys
import unittest

CI = pathlib.Path(__file__).resolve().parent.parent
ROOT = CI.parent
sys.path.insert(0, str(CI))

import environment  # noqa: E402

MAKEFILE = (ROOT / "Makefile").read_text()
# Of each target the options that `make help` names and that are no numbers: those that any value switches on, or that are text.
WORDS = {
    "fuzz-coverage": {"KEEP"}, "demo": {"KEEP", "LAYOUT"}, "attack": {"LAYOUT"}, "soak": {"JSON"}, "million": {"SPIFFE"},
    "image": {"IMAGE", "REGISTRY", "PATH", "TAG"}, "kernels": {"KERNELS"}, "busy": {"FILTER"}, "model": {"QUICK"},
    "spiffe": {"SPIFFE"}, "bench": {"QUICK", "ONLY", "AGENT", "BEFORE", "CLOUDS", "SPIFFE", "ROWS"},
}
# What a caller's make, or its shell, may hand down.
CALLERS = {"MAKEFLAGS", "MAKELEVEL", "MFLAGS"}


def entries(name):
    """The words of a list of the Makefile."""
    return re.search(rf"^{name} := ((?:.*\\\n)*.*)$", MAKEFILE, re.MULTILINE)[1].replace("\\\n", " ").split()


WHOLE = [entry.split(".") for entry in entries("WHOLE")]
DECIMAL = [entry.split(".") for entry in entries("DECIMAL")]
OPTIONS = {option for _, option, *_ in WHOLE + DECIMAL}


def make(*arguments):
    """Runs nothing: a target that took the option would only name its commands."""
    kept = {name: value for name, value in os.environ.items() if name not in CALLERS | OPTIONS}
    return subprocess.run(
        ["make", "--dry-run", "--no-print-directory", *arguments], cwd=ROOT, capture_output=True, text=True, env=kept, timeout=60)


class MakeTests(unittest.TestCase):
    def refused(self, sentence, *arguments):
        with self.subTest(arguments):
            result = make(*arguments)
            self.assertNotEqual(result.returncode, 0)
            self.assertEqual(result.stdout, "")
            self.assertRegex(result.stderr, rf"^Makefile:\d+: \*\*\* {re.escape(sentence)}.*  Stop\.\n$")

    def test_a_number_that_is_none_is_refused(self):
        for target, option, least, most in WHOLE:
            for value in ("x", "0", "-1", "1.5", "1e3", "7;id", "3 4", str(int(most) + 1), "9" * 30):
                self.refused(
                    f"{option} is a whole number from {least} to {most}, and not '{value}'", target, f"{option}={value}")
        for target, option in DECIMAL:
            for value in ("x", "0", "0.0", ".", "1.2.3", "-1", "nan"):
                self.refused(f"{option} is a number above 0, and not '{value}'", target, f"{option}={value}")

    def test_a_name_that_is_none_is_refused(self):
        layouts, releases = entries("LAYOUTS"), entries("RELEASES")
        for target in ("demo", "attack"):
            self.refused(f"LAYOUT is one of {' '.join(layouts)}, and not 'flat'", target, "LAYOUT=flat")
        self.refused(f"KERNELS are some of {' '.join(releases)}, and not 'sid woody'", "kernels", "KERNELS=sid woody")
        swift = (ROOT / "Lab/Lab/Node/Cgroups/CgroupLayout.swift").read_text()
        listed = re.search(r"/// (`cgroupfs`.*)\.\n    package var description", swift)[1]
        self.assertEqual(re.findall(r"`([^`]+)`", listed), layouts)
        kernels = re.search(r"^RELEASES = \{(.*)\}$", (CI / "kernels").read_text(), re.MULTILINE)[1]
        self.assertEqual(re.findall(r'"([a-z]+)":', kernels), releases)

    def test_what_can_be_is_taken_and_so_is_another_targets_option(self):
        for arguments in (
                ["busy", "RUNS=1000"], ["faults", "SECONDS=007"], ["fuzz-coverage", "MINUTES=0.5"], ["simulate", "HOURS=.5"],
                ["demo", "LAYOUT=nested-3"], ["kernels", "KERNELS=sid trixie"], ["fleet", "NODES=5", "BEFORE=100000"],
                ["help", "MINUTES=x"], ["busy", "RUNS="], ["image", "IMAGE=localhost/podidentd:1"]):
            with self.subTest(arguments):
                result = make(*arguments)
                self.assertEqual(result.returncode, 0, result.stderr)

    def test_each_option_of_help_is_checked(self):
        for target, help_ in re.findall(r"^([a-z-]+):.*?## (.*)$", MAKEFILE, re.MULTILINE):
            numbers = {option for name, option, *_ in WHOLE + DECIMAL if name == target}
            named = set(re.findall(r"(?<![/\w])[A-Z]{4,}\b", help_))
            self.assertLessEqual(named, numbers | WORDS.get(target, set()), target)

    def test_bounds_are_those_of_the_lab(self):
        for target, option, least, most in WHOLE:
            command = ROOT / f"Lab/podidentd-lab/{target.capitalize()}Command.swift"
            name = "nodes" if option == "BEFORE" else option.lower()
            if command.exists() and (found := re.search(rf"\((\d+)\.\.\.([\d_]+)\)\.contains\({name}\)", command.read_text())):
                self.assertEqual((least, most), (found[1], found[2].replace("_", "")), target)

    def test_an_image_name_that_no_runtime_finds_is_refused_before_the_build(self):
        self.assertIn("bash deploy/image/name 'podidentd'", make("image", "IMAGE=podidentd").stdout.splitlines()[0])
        result = subprocess.run(["bash", ROOT / "deploy/image/name", "podidentd"], capture_output=True, text=True)
        self.assertEqual((result.returncode, result.stdout), (1, ""))
        self.assertRegex(result.stderr, r"^'podidentd' is no full image name: REGISTRY/PATH:TAG, as .*\n$")


class ToolTests(unittest.TestCase):
    def test_a_value_that_a_tool_does_not_take_is_one_sentence(self):
        for words, variables, sentence in (
                ([".ci/fuzz-coverage"], {"MINUTES": "x"}, "MINUTES is a number above 0, and not 'x'"),
                ([".ci/fuzz-coverage"], {"MINUTES": "inf"}, "MINUTES is a number above 0"),
                ([".ci/fuzz-coverage"], {"TARGETS": "decisions x"}, "TARGETS names 'x', and there are .*decisions"),
                ([".ci/kernels"], {"MACHINES": "x"}, "MACHINES is a whole number above 0, and not 'x'"),
                ([".ci/kernels"], {"LIMIT": "-1"}, "LIMIT is a whole number"),
                ([".ci/kernels"], {"CPUS": "two"}, "CPUS is a whole number"),
                ([".ci/kernels"], {"PATIENCE": "0"}, "PATIENCE is a whole number"),
                ([".ci/kernels"], {"ACCELERATOR": "hvf"}, "ACCELERATOR names 'hvf', and there are tcg, kvm"),
                ([".ci/kernels"], {"ACCELERATOR": "tcg kvm"}, "ACCELERATOR is one of tcg, kvm, and not 'tcg kvm'"),
                ([".ci/kernels"], {"STEPS": "x"}, "There is no step 'x': there are "),
                ([".ci/kernels"], {"KERNELS": "x"}, "There is no release 'x': there are "),
                ([".ci/busy", "x"], {}, "RUNS is a whole number above 0, and not 'x'"),
                ([".ci/cost", "--updaet"], {}, "There is no option '--updaet'"),
                ([".ci/spiffe-mutations", "9"], {}, "There is no rule '9': there are 1, 2"),
                ([".ci/arm64", "x"], {}, "arm64: there is no step x; there are kernel,"),
                ([".ci/cluster", "x"], {}, "cluster: there is no step x; there are check, build and try"),
                (["bash", ".ci/setup-clients", "x"], {}, "There is no argument 'x': "),
                (["deploy/observability/record", "lab", "picture", "x"], {}, "Give the lab's program, the picture, and whole minutes")):
            with self.subTest(words=words, variables=variables):
                result = subprocess.run(
                    words, cwd=ROOT, capture_output=True, text=True, timeout=60, env={**os.environ, **variables})
                self.assertEqual((result.returncode, result.stdout), (1, ""), result.stderr)
                self.assertRegex(result.stderr, rf"^{sentence}.*\n$")

    def test_a_limit_of_the_tests_that_is_no_number_is_one_sentence(self):
        code = "import swift_tests; print(swift_tests.Limits().total)"
        for value, output, error in (("90", "90\n", "^$"), ("soon", "", "^PODIDENTD_TEST_SECONDS is a whole number .* 'soon'.*\n$")):
            result = subprocess.run(
                [sys.executable, "-c", code], cwd=CI, capture_output=True, text=True,
                env={**os.environ, "PODIDENTD_TEST_SECONDS": value})
            self.assertEqual(result.stdout, output)
            self.assertRegex(result.stderr, error)


class EnvironmentTests(unittest.TestCase):
    def test_what_is_left_out_is_the_default(self):
        self.assertEqual(environment.whole("NO_SUCH_VARIABLE", 3), 3)
        self.assertEqual(environment.whole("NO_SUCH_VARIABLE", 3, "12"), 12)
        self.assertEqual(environment.decimal("NO_SUCH_VARIABLE", 0.5), 0.5)
        self.assertEqual(environment.words("NO_SUCH_VARIABLE", ["a", "b"], ["b"]), ["b"])
        self.assertEqual(environment.word("NO_SUCH_VARIABLE", ["a", "b"]), "a")


if __name__ == "__main__":
    unittest.main()
