"""The rows of figure 7, computed by hand."""

import unittest

from harness.bystanders import RECEIVED, ROWS, bystander_rows, table


def sets(none, **added):
    """Three rounds of a machine that slows down: what a set adds stays the same."""
    speeds = (1.0, 1.5, 2.0)
    values = {"none": [none * speed for speed in speeds]}
    for name in ("before", "now", "now-unguarded", "empty"):
        values[name] = [none * speed + added.get(name.replace("-", "_"), 0) for speed in speeds]
    return values


class BystanderRows(unittest.TestCase):
    def rows(self, values):
        everything = {(place, work): values for _, _, place, work, *_ in ROWS + RECEIVED}
        return {entry["id"]: entry for entry in bystander_rows(everything)}

    def test_what_is_added_is_the_median_of_each_rounds_difference(self):
        rows = self.rows(sets(10000, before=1600, now=140, now_unguarded=90, empty=120))
        self.assertEqual(rows["connect-host"]["added_ns"], 140)
        self.assertEqual(rows["connect-host"]["before_ns"], 1600)
        self.assertEqual(rows["connect-host"]["empty_ns"], 120)
        self.assertNotIn("empty_ns", rows["connect-pod-unguarded"])
        self.assertAlmostEqual(rows["connect-host"]["ratio"]["median"], 1 + 140 / 15000)

    def test_targets_are_ratios_or_nanoseconds(self):
        rows = self.rows(sets(10000, now=290, now_unguarded=100))
        self.assertFalse(rows["connect-host"]["met"])
        self.assertTrue(rows["connect-host-loopback"]["met"])
        self.assertFalse(rows["send-host"]["met"])
        self.assertTrue(rows["send-pod"]["met"])
        self.assertIsNone(rows["bulk-host"]["met"])

    def test_a_received_packet_is_judged_by_what_programs_that_do_nothing_add(self):
        for now, ratio, met in ((126, 1.05, True), (150, 1.25, False), (-12, -0.1, True)):
            entry = self.rows(sets(4000, now=now, empty=120))["receive-node"]
            self.assertEqual((entry["median"], entry["reference"]["median"]), (now, 120))
            self.assertAlmostEqual(entry["ratio"]["median"], ratio)
            self.assertAlmostEqual(entry["compare"], ratio)
            self.assertEqual(entry["met"], met)
        # A set that costs nothing measurable is no divisor.
        self.assertEqual(self.rows(sets(4000, now=5))["receive-node"]["ratio"]["median"], 5)

    def test_a_received_packet_is_judged_by_the_medians_and_not_by_a_round(self):
        values = {"none": [4000] * 3, "empty": [4100, 4000, 4110], "now": [4105, 4108, 4000], "now-unguarded": [4000] * 3}
        entry = self.rows(values)["receive-node"]
        self.assertAlmostEqual(entry["ratio"]["median"], 1.05)
        self.assertEqual(entry["ratio"]["count"], 1)

    def test_without_the_earlier_commit_there_is_nothing_to_say_of_it(self):
        values = sets(10000, now=100)
        del values["before"]
        self.assertNotIn("before_ns", self.rows(values)["connect-host"])
        self.assertEqual(set(table({("a", "b"): values})[0]["added_ns"]), {"now", "now-unguarded", "empty"})


if __name__ == "__main__":
    unittest.main()
