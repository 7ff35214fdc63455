"""Percentiles, ratios, targets and regressions, with numbers that one can check by hand."""

import gzip
import io
import os
import sys
import tarfile
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from harness import report  # noqa: E402
from harness.footprint import image_rows  # noqa: E402
from harness.profile import fold  # noqa: E402
from harness.rows import judge, merged, regressions, row  # noqa: E402
from harness.scale import scale_rows  # noqa: E402
from harness.uncached import nearest  # noqa: E402


def results(*entries):
    return {"figures": {"1": {"rows": list(entries)}}}


class RowTests(unittest.TestCase):
    def test_a_ratio_is_the_median_of_the_rounds_own_ratios(self):
        # The machine became half as fast in the third round: the ratio does not see it.
        entry = row("a", "a", "1/s", [100, 100, 50], reference="nginx", reference_values=[200, 200, 100])
        self.assertEqual(entry["ratio"]["median"], 0.5)
        self.assertEqual((entry["ratio"]["low"], entry["ratio"]["high"]), (0.5, 0.5))

    def test_a_target_can_be_missed_by_ratio_and_by_value(self):
        entry = row("a", "a", "1/s", [99], reference="nginx", reference_values=[100])
        self.assertFalse(judge(entry, ratio_at_least=1.0)["met"])
        self.assertTrue(judge(entry, ratio_at_least=0.99)["met"])
        self.assertFalse(judge(entry, at_most=98)["met"])

    def test_ranks(self):
        self.assertEqual(nearest(list(range(1, 101)), 50), 51)
        self.assertEqual(nearest([1.0], 99), 1.0)


def archive(members):
    """A tar archive with these names and bytes."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as file:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            file.addfile(member, io.BytesIO(data))
    return content.getvalue()


class FootprintTests(unittest.TestCase):
    def test_an_image_has_the_size_of_its_files_and_that_of_what_is_fetched(self):
        layer = gzip.compress(archive({"agent": b"a" * 300_000, "library": b"b" * 200_000}))
        blobs = {"blobs/sha256/1": layer, "blobs/sha256/2": b'{"layers": []}'}
        with tempfile.NamedTemporaryFile() as file:
            file.write(archive({"index.json": b"{}", **blobs}))
            file.flush()
            unpacked, fetched = image_rows(file.name)
        self.assertEqual(unpacked["median"], 0.5)
        self.assertEqual(fetched["median"], sum(map(len, blobs.values())) / 1e6)


class RegressionTests(unittest.TestCase):
    def test_a_slower_machine_is_no_regression(self):
        before = results(row("a", "a", "1/s", [1000], reference="nginx", reference_values=[1000]))
        after = results(row("a", "a", "1/s", [100], reference="nginx", reference_values=[100]))
        self.assertEqual(regressions(before, after), [])

    def test_a_worse_ratio_beyond_the_tolerance_is_named(self):
        before = results(row("a", "tokens", "1/s", [1000], reference="nginx", reference_values=[1000]))
        after = results(row("a", "tokens", "1/s", [800], reference="nginx", reference_values=[1000]))
        self.assertEqual(len(regressions(before, after)), 1)
        self.assertIn("tokens: ratio 1 -> 0.8, 20% worse", regressions(before, after)[0])

    def test_less_is_worse_or_better_as_the_row_says(self):
        before = results(row("a", "memory", "MB", [10], better="lower", compare=10))
        more = results(row("a", "memory", "MB", [20], better="lower", compare=20))
        self.assertEqual(len(regressions(before, more)), 1)
        self.assertEqual(regressions(more, before), [])

    def test_times_without_a_reference_are_not_compared(self):
        before = results(row("a", "restart", "s", [0.1], better="lower"))
        after = results(row("a", "restart", "s", [0.9], better="lower"))
        self.assertEqual(regressions(before, after), [])


class ScaleTests(unittest.TestCase):
    def test_scenes_are_compared_with_ten_pods_round_by_round(self):
        def scene(*rates):
            return {"label": "x", "podidentd": {name: list(rates) for name in ("new_rate", "keep_rate", "idle_p99_us")}}

        rows = scale_rows({"10": scene(100, 50, 10), "110": scene(99, 49, 9), "500": scene(90, 45, 10)})
        by_id = {entry["id"]: entry for entry in rows}
        self.assertTrue(by_id["scale-110-new_rate"]["met"])
        self.assertTrue(by_id["scale-110-idle_p99_us"]["met"])
        self.assertFalse(by_id["scale-500-new_rate"]["met"])


class MergeTests(unittest.TestCase):
    def test_rows_that_were_not_measured_again_stay_with_their_run(self):
        def figure(date, *names):
            return {"rows": [{"id": name, "median": date} for name in names], "date": date, "agent": {}, "mode": "full"}

        self.assertEqual(merged(None, figure("1", "a")), figure("1", "a"))
        second = merged(figure("1", "a", "b"), figure("2", "b"))
        self.assertEqual([(entry["id"], entry["median"]) for entry in second["rows"]], [("b", "2"), ("a", "1")])
        third = merged(second, figure("3", "c"))
        self.assertEqual({entry["id"]: entry["of"]["date"] for entry in third["rows"] if "of" in entry}, {"a": "1", "b": "2"})


class ReportTests(unittest.TestCase):
    def test_a_missed_target_is_said(self):
        entry = judge(row("a", "tokens", "1/s", [12345.6, 12000, 13000], reference="nginx",
                          reference_values=[20000, 20000, 20000], target=">= 1 x nginx"), ratio_at_least=1)
        machine = {"processor": "P", "cores": 2, "memory_gib": 4, "virtualisation": "KVM", "kernel": "6.18",
                   "nginx": "1", "wrk": "4"}
        text = report.markdown({"machine": machine, "figures": {
            "1": {"rows": [entry], "date": "2026-01-01", "agent": {"sha256": "ab"}, "mode": "full"}}})
        self.assertIn("| tokens | 12,346 (12,000 to 13,000) 1/s | nginx: 20,000 (20,000 to 20,000) | "
                      "0.62 (0.60 to 0.65) | >= 1 x nginx: **missed** |", text)


    def test_every_work_at_every_place_is_shown(self):
        table = [{"place": "pod-pod", "work": work, "none_ns": 17000.4, "added_ns": {"now": 1105, "now-unguarded": -3.4, "empty": 1001}}
                 for work in ("connect", "send")]
        machine = {"processor": "P", "cores": 2, "memory_gib": 4, "virtualisation": "KVM", "kernel": "6.18",
                   "nginx": "1", "wrk": "4"}
        text = report.markdown({"machine": machine, "figures": {
            "7": {"rows": [], "table": table, "date": "2026-01-01", "agent": {"sha256": "ab"}, "mode": "full"}}})
        self.assertIn("| pod to pod, forwarded by the node | `connect()` | 17,000 ns | +1,105 (1.065) | -3 (1.000) | "
                      "+1,001 (1.059) |  |\n|  | datagram, connected `send()` |", text)

    def test_a_narrow_comparison_has_a_digit_more(self):
        values = {"reference": "x", "reference_values": [1000, 1000]}
        self.assertEqual(report.ratio(row("a", "a", "ns", [1012, 1014], tolerance=0.02, **values)), "1.013 (1.012 to 1.014)")
        self.assertEqual(report.ratio(row("a", "a", "ns", [1012, 1014], **values)), "1.01 (1.01 to 1.01)")

    def test_less_than_nothing_has_as_many_digits(self):
        self.assertEqual([report.number(value) for value in (-1234.5, -123.4, -3.62, 3.62)], ["-1,234", "-123", "-3.62", "3.62"])


class ProfileTests(unittest.TestCase):
    def test_stacks_are_folded_from_the_outermost(self):
        stacks, leaves = fold("agent\n\tffff inner\n\tffff outer\n\nagent\n\tffff inner\n\tffff outer\n")
        self.assertEqual(stacks, {("outer", "inner"): 2})
        self.assertEqual(leaves, {"inner": 2})


if __name__ == "__main__":
    unittest.main()
