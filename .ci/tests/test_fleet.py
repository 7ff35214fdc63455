"""The table that `.ci/fleet` makes of fleets' reports, and the one that is committed."""

import pathlib
import re
import sys
import tempfile
import unittest

CI = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(CI))

from tests import load  # noqa: E402

fleet = load("fleet")


def report(recovery=600, least=600, calls=10, **values):
    """An hour of a fleet of 100 pods whose quota is 10 a minute; its cause has ended when it begins."""
    minutes = [[calls, 0, 0, 0, 0, 0, 50]] * 60
    return {"nodes": 10, "pods": 100, "quota": 10, "begins": 0, "ends": 0, "least": least, "recovery": recovery,
            "minutes": minutes, "when": "after", **values}


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


class FleetTests(unittest.TestCase):
    def verdicts(self, **values):
        row = dict(zip(cells(fleet.HEAD), cells(fleet.row("coldStart", report(**values)))))
        return row["at most 1.2 times"], row["at most the quota"]

    def test_a_run_meets_what_it_is_to_meet_up_to_the_last_second_and_call(self):
        self.assertEqual(self.verdicts(), ("met", "met"))
        self.assertEqual(self.verdicts(recovery=720), ("met", "met"))
        self.assertEqual(self.verdicts(recovery=730), ("missed", "met"))
        self.assertEqual(self.verdicts(calls=11), ("met", "missed"))

    def test_a_run_that_does_not_recover_misses(self):
        self.assertEqual(self.verdicts(recovery=None), ("missed", "met"))

    def test_where_the_quota_dictates_next_to_nothing_there_is_nothing_to_compare_with(self):
        self.assertEqual(self.verdicts(least=30), ("-", "met"))

    def test_calls_after_recovery_do_not_count(self):
        minutes = [[10, 0, 0, 0, 0, 0, 50]] * 10 + [[99, 0, 0, 0, 0, 0, 0]] * 50
        self.assertEqual(self.verdicts(minutes=minutes), ("met", "met"))

    def test_the_page_is_written_below_its_mark(self):
        with tempfile.TemporaryDirectory() as folder:
            page = pathlib.Path(folder, "scale.md")
            page.write_text("Words.\n" + fleet.MARK + "what was there\n")
            kept = pathlib.Path(folder, "kept")
            kept.mkdir()
            for scenario in fleet.NAMES:
                (kept / f"{scenario}-after.json").write_text(fleet.json.dumps(report()))
            fleet.write(page, kept)
            text = page.read_text()
        self.assertTrue(text.startswith("Words.\n" + fleet.MARK + "\n" + fleet.HEAD + "\n|---|"))
        self.assertEqual(text.count("| met |"), 2 * len(fleet.NAMES))

    def test_the_committed_table_says_met_where_its_figures_do(self):
        text = (fleet.ROOT / "docs/scale.md").read_text().split(fleet.MARK)[1]
        self.assertIn("\n" + fleet.HEAD + "\n", text)
        rows = [dict(zip(cells(fleet.HEAD), cells(line))) for line in re.findall(r"^\| an? .*", text, re.MULTILINE)]
        self.assertGreaterEqual(len(rows), 2 * len(fleet.NAMES))
        for row in rows:
            with self.subTest(row["event"], when=row[""]):
                if row["times"] != "-":
                    self.check(float(row["times"]), fleet.TIMES, row["at most 1.2 times"])
                self.check(float(row["calls"]), fleet.CALLS, row["at most the quota"])

    def check(self, figure, most, verdict):
        # The figures are rounded, the verdicts are not.
        if abs(figure - most) > 0.005:
            self.assertEqual(fleet.verdict(figure, most), verdict)
        else:
            self.assertIn(verdict, ("met", "missed"))


if __name__ == "__main__":
    unittest.main()
