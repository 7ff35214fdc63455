"""What `.ci/conformance` makes of a run: a line for each case, the numbers that no test has, and the status."""

import contextlib
import io
import os
import pathlib
import re
import sys
import unittest
import unittest.mock

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import conformance_page  # noqa: E402
from tests import load  # noqa: E402

conformance = load("conformance")
CASE, CLOUD_CASE = "case", "cloud case"


def title(kind, number, text="is so"):
    return f'"{kind} {number} {text}"'


class ConformanceTests(unittest.TestCase):
    def setUp(self):
        # The program works where the repository is, and tells its tests to install all clients.
        self.addCleanup(os.chdir, os.getcwd())
        environment = unittest.mock.patch.dict(os.environ)
        environment.start()
        self.addCleanup(environment.stop)

    def conformance(self, without=(), failing=(), errors=(), status=0):
        """The exit status, output and errors of the program, whose tests are all wanted cases but those `without`."""
        cases = [(CASE, number) for number in conformance.WANTED] + [(CLOUD_CASE, number) for number in conformance.WANTED_OF_CLOUDS]
        self.arguments = None

        def run(arguments, record, show, note):
            self.arguments = arguments
            for case in cases:
                if case not in without:
                    name = title(*case)
                    record.read(f"◇ Test {name} started.")
                    if case in failing:
                        record.read(f"✘ Test {name} recorded an issue at X.swift:1:2: failed")
                    record.read(f"{'✘' if case in failing else '✔'} Test {name} "
                                f"{'failed after 0.1 seconds with 1 issue' if case in failing else 'passed after 0.1 seconds'}.")
            for line in errors:
                record.read(line)
            record.finish()
            return status

        output, said = io.StringIO(), io.StringIO()
        with (
            unittest.mock.patch.object(conformance.swift_tests, "require_root"),
            unittest.mock.patch.object(conformance.swift_tests, "run", run),
            contextlib.redirect_stdout(output), contextlib.redirect_stderr(said),
            self.assertRaises(SystemExit) as end,
        ):
            conformance.main()
        return int(end.exception.code), output.getvalue().splitlines(), said.getvalue()

    def test_every_case_is_a_line_in_the_order_of_its_number(self):
        status, lines, said = self.conformance()
        self.assertEqual((status, said), (0, ""))
        self.assertEqual([line for line in lines if line.startswith("case ")],
                         [f"case {number} pass is so" for number in sorted(conformance.WANTED)])
        self.assertEqual([line for line in lines if line.startswith("cloud case ") and " not run: " not in line],
                         [f"cloud case {number} pass is so" for number in sorted(conformance.WANTED_OF_CLOUDS)])
        count, clouds = len(conformance.WANTED), len(conformance.WANTED_OF_CLOUDS)
        self.assertIn(f"{count} of {count} lines pass, {count} numbered cases.", lines)
        self.assertEqual(lines[-1], f"{clouds} of {clouds} lines of other clouds pass.")

    def test_the_clients_of_the_checklist_are_asked_for_by_the_filter(self):
        self.conformance()
        self.assertEqual(self.arguments, ["--filter", conformance.FILTER])
        self.assertEqual(os.environ["PODIDENTD_ALL_CLIENTS"], "1")

    def test_a_number_without_a_test_fails_the_run_and_is_named(self):
        for missing in ([(CASE, 17)], [(CLOUD_CASE, 42)], [(CASE, 17), (CLOUD_CASE, 42)]):
            with self.subTest(missing):
                status, _, said = self.conformance(without=missing)
                self.assertEqual(status, 1)
                self.assertEqual(said, "No test for: " + " ".join(str(number) for _, number in missing) + "\n")

    def test_a_case_that_fails_fails_the_run_whatever_the_tests_status_is(self):
        for failing in [(CASE, 17), (CLOUD_CASE, 42)]:
            for status in (0, 1):
                with self.subTest(failing, status=status):
                    result, lines, _ = self.conformance(failing=[failing], status=status)
                    self.assertEqual(result, 1)
                    self.assertIn(f"{failing[0]} {failing[1]} fail is so", lines)

    def test_a_run_that_fails_without_a_failed_case_fails_and_says_its_errors(self):
        error = "✘ Test other() recorded an issue at X.swift:3:4: failed"
        status, lines, said = self.conformance(errors=[error], status=124)
        self.assertEqual((status, said), (1, error + "\n"))
        self.assertFalse([line for line in lines if " fail " in line])

    def test_a_client_that_is_not_run_is_named_with_its_reason_and_wanted_all_the_same(self):
        self.assertLess(set(conformance.NOT_RUN), conformance.WANTED_OF_CLOUDS)
        status, lines, said = self.conformance(without=[(CLOUD_CASE, number) for number in conformance.NOT_RUN])
        for number, reason in conformance.NOT_RUN.items():
            self.assertIn(f"cloud case {number} not run: {reason}", lines)
        self.assertEqual((status, said), (1, "No test for: " + " ".join(map(str, sorted(conformance.NOT_RUN))) + "\n"))

    def test_what_is_about_speed_or_real_clients_alone_is_not_wanted(self):
        self.assertFalse(conformance.WANTED & {5, 6, *range(95, 105)})
        self.assertEqual(len(conformance.WANTED), 92)


class PageTests(unittest.TestCase):
    def test_the_page_is_what_the_titles_say(self):
        self.assertEqual(conformance_page.PAGE.read_text(), conformance_page.page(conformance_page.cases()), "make cases writes it")

    def test_every_wanted_number_has_a_row(self):
        found = conformance_page.cases()
        for kind, wanted in ((CASE, conformance.WANTED), (CLOUD_CASE, conformance.WANTED_OF_CLOUDS)):
            self.assertEqual({number for each, number, _, _ in found if each == kind}, wanted)

    def test_a_title_with_several_numbers_is_a_row_of_each(self):
        text = '@Test("cloud case 3 cloud case 5 a \\"b\\"") func `case 7 case 8 c|d_e`() { x("no case 9 y") }'
        self.assertEqual(list(conformance_page.titles("A.swift", text)), [
            (CLOUD_CASE, 3, 'a \\"b\\"'), (CLOUD_CASE, 5, 'a \\"b\\"'), (CASE, 7, "c|d_e"), (CASE, 8, "c|d_e")])
        self.assertEqual([conformance_page.cell(each) for each in ('a \\"b\\"', "c|d_e")], ['a "b"', "c\\|d\\_e"])


class RingTests(unittest.TestCase):
    def test_every_test_target_is_in_a_ring(self):
        targets = re.findall(r'\.testTarget\(\s*name: "(\w+)"', (conformance_page.ROOT / "Package.swift").read_text())
        self.assertGreater(len(targets), 15)
        rings = (conformance_page.ROOT / "docs" / "TESTING.md").read_text().split("\n## Rings\n")[1].split("\n## ")[0]
        self.assertEqual([target for target in targets if f"`{target}`" not in rings], [])


if __name__ == "__main__":
    unittest.main()
