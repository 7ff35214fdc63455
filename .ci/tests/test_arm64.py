"""docs/arm64.md says of every target of unit tests what `.ci/arm64` does with it."""

import pathlib
import re
import sys
import unittest

CI = pathlib.Path(__file__).resolve().parent.parent
ROOT = CI.parent
sys.path.insert(0, str(CI))

from tests import load  # noqa: E402

arm64 = load("arm64")

NUMBERS = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]


class Arm64Tests(unittest.TestCase):
    def setUp(self):
        self.text = (ROOT / "docs/arm64.md").read_text()
        # What is done with a target, by its name.
        self.rows = {}
        for names, what in re.findall(r"^\| (`\w+Tests`[^|]*) \| ([^|]*) \|$", self.text, re.MULTILINE):
            self.rows |= {name: what for name in re.findall(r"`(\w+)`", names)}

    def test_each_target_is_run_or_built_or_neither_as_it_is_written(self):
        package = (ROOT / "Package.swift").read_text()
        targets = set(re.findall(r"\.testTarget\(\s*name: \"(\w+)\"", package))
        left_out = set(re.findall(r'"(\w+)"', re.search(r"let others = \[(.*?)\]", package, re.DOTALL)[1]))
        self.assertGreater(len(targets), 20)
        self.assertEqual(set(self.rows), targets)
        for name, what in self.rows.items():
            kind = "run" if name in arm64.UNIT_TESTS else "not built" if name in left_out else "built, not run"
            self.assertRegex(what, rf"^{kind}($|[:,] (?!not))", name)

    def test_each_suite_that_is_left_out_is_named(self):
        for name, suites in arm64.UNIT_TESTS.items():
            self.assertEqual(re.findall(r"`(\w+Tests)`", self.rows[name]), suites)
            for suite in suites:
                self.assertTrue(any(suite in path.read_text() for path in (ROOT / "Tests" / name).glob("*.swift")), suite)

    def test_the_numbers_of_targets_and_suites_are_right(self):
        suites = sum(map(len, arm64.UNIT_TESTS.values()))
        self.assertIn(
            f"{NUMBERS[len(arm64.UNIT_TESTS)]} targets of unit tests, without {NUMBERS[suites]} suites of theirs", self.text)


if __name__ == "__main__":
    unittest.main()
