"""The rows of figure 7, computed by hand."""

import unittest

from harness.bystanders import ROWS, bystander_rows, table


def sets(none, **added):
    """Three rounds of a machine that slows down: what a set adds stays the same."""
    speeds = (1.0, 1.5, 2.0)
    values = {"none": [none * speed for speed in speeds]}
    for name in ("before", "now", "now-unguarded", "empty"):
        values[name] = [none * speed + added.get(name.replace("-", "_"), 0) for speed in speeds]
    return values


class BystanderRows(unittest.TestCase):
    def rows(self, values):
        everything = {(place, work): values for _, _, place, work, *_ in ROWS}
        return {entry["id"]: entry for entry in bystander_rows(everything)}

    def test_what_is_added_is_the_median_of_each_rounds_difference(self):
        rows = self.rows(sets(10000, before=1600, now=140, now_unguarded=90, empty=120))
        self.assertEqual(rows["connect-host"]["added_ns"], 140)
        self.assertEqual(rows["connect-host"]["before_ns"], 1600)
        self.assertEqual(rows["connect-host"]["empty_ns"], 120)
        self.assertNotIn("empty_ns", rows["connect-pod-unguarded"])
        self.assertAlmostEqual(rows["connect-host"]["ratio"]["median"], 1 + 140 / 15000)
        self.assertEqual(rows["receive-node"]["added_ns"], 20)
        self.assertNotIn("before_ns", rows["receive-node"])

    def test_targets_are_ratios_or_nanoseconds(self):
        rows = self.rows(sets(10000, now=290, now_unguarded=100))
        self.assertFalse(rows["connect-host"]["met"])
        self.assertTrue(rows["connect-host-loopback"]["met"])
        self.assertFalse(rows["send-host"]["met"])
        self.assertTrue(rows["send-pod"]["met"])
        self.assertIsNone(rows["bulk-host"]["met"])

    def test_without_the_earlier_commit_there_is_nothing_to_say_of_it(self):
        values = sets(10000, now=100)
        del values["before"]
        self.assertNotIn("before_ns", self.rows(values)["connect-host"])
        self.assertEqual(set(table({("a", "b"): values})[0]["added_ns"]), {"now", "now-unguarded", "empty"})


if __name__ == "__main__":
    unittest.main()
