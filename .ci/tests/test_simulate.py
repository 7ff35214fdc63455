"""Simulated seeds add up over runs, and none is lost unnoticed."""

import pathlib
import sys
import tempfile
import types
import unittest
import unittest.mock

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import simulate_page  # noqa: E402
from tests import load  # noqa: E402

simulate = load("simulate")
OPTIONS = types.SimpleNamespace(lab="/bin/true", hours=24, nodes=1, pods=2, pause=600)


class KeptTests(unittest.TestCase):
    def kept(self, folder, **changes):
        kept = simulate.Kept(types.SimpleNamespace(**vars(OPTIONS) | changes), folder)
        self.addCleanup(kept.file.close)
        return kept

    def test_a_run_goes_on_where_the_last_one_was_and_so_after_one_that_was_killed(self):
        with tempfile.TemporaryDirectory() as folder:
            for seed, cut in ((1, '[{"seed": 7, "faults": {"apiDown": 1}'), (2, '[{"seed"'), (3, "")):
                kept = self.kept(folder)
                self.assertEqual(sorted(kept.reports), list(range(1, seed)))
                kept.add([{"seed": seed}], processor=1.5)
                kept.file.write(cut)
                kept.file.close()
            kept = self.kept(folder)
            self.assertEqual([kept.reports[seed]["processor"] for seed in (1, 2, 3)], [1.5] * 3)

    def test_another_world_has_seeds_of_its_own(self):
        with tempfile.TemporaryDirectory() as folder:
            self.kept(folder).add([{"seed": 1}], processor=1)
            self.assertEqual(self.kept(folder, pods=6).reports, {})

    def test_two_runs_do_not_write_at_once(self):
        with tempfile.TemporaryDirectory() as folder:
            self.kept(folder)
            with self.assertRaisesRegex(SystemExit, "under way"):
                simulate.Kept(OPTIONS, folder)

    def test_batches_are_of_seeds_that_follow_each_other(self):
        self.assertEqual(simulate.batches([*range(1, 11), 20, 21]), [(1, 8), (9, 2), (20, 2)])
        self.assertEqual(simulate.batches([]), [])


class OutputTests(unittest.TestCase):
    def test_the_end_of_the_time_is_told_from_any_other_end(self):
        text, status, processor = simulate.output(["sh", "-c", "echo one; exit 1"], 60)
        self.assertEqual((text, status), ("one\n", 1))
        self.assertGreaterEqual(processor, 0)
        self.assertEqual(simulate.output(["sh", "-c", "kill -KILL $$"], 60)[1], -9)
        self.assertEqual(simulate.output(["sh", "-c", "echo one; exec sleep 600"], 5)[:2], ("one\n", None))

    def test_a_program_that_is_killed_is_no_run_without_a_seed(self):
        with tempfile.TemporaryDirectory() as folder:
            lab = pathlib.Path(folder, "lab")
            lab.write_text("#!/bin/sh\nkill -KILL $$\n")
            lab.chmod(0o755)
            with self.assertRaisesRegex(SystemExit, "ended with -9"):
                simulate.run(str(lab), 1)


class SmallerTests(unittest.TestCase):
    KINDS = ["a", "b", "c", "d"]
    # The hour in which each kind happens first: d never does.
    FIRST = {"a": 1, "b": 2, "c": 9}

    def run_of(self, _, seed, hours=24.0, nodes=1, without=(), pause=0, pods=0, limit=0):
        """What a seed reports that breaks something after 5.2 hours, if b has happened."""
        self.assertGreater(limit, 0)
        self.runs += 1
        faults = {kind: 1 for kind, hour in self.FIRST.items() if hour < hours and kind not in without}
        return [{"seed": seed, "hours": hours, "faults": faults, "violations": ["x"] if hours > 5.2 and "b" in faults else []}]

    def smaller(self, seeds, seconds):
        self.runs = 0
        options = types.SimpleNamespace(**vars(OPTIONS) | {"nodes": 3})
        bad = [({"seed": seed, "hours": 24.0, "faults": self.FIRST, "violations": ["x"]}, options) for seed in seeds]
        with unittest.mock.patch.object(simulate, "run", self.run_of):
            return simulate.smaller("lab", bad, self.KINDS, seconds)

    def test_every_seed_becomes_as_small_as_it_can(self):
        found = self.smaller(range(1, 8), 600)
        self.assertEqual([one["seed"] for one in found], list(range(1, 8)))
        for one in found:
            self.assertTrue(5.2 < one["hours"] <= 5.31, one)
            self.assertEqual((one["nodes"], one["faults"], one["without"], one["isLate"]), (1, ["b"], ["a", "c", "d"], False))
        self.assertLess(self.runs, 7 * 20)

    def test_where_no_time_is_left_a_seed_stays_as_it_was(self):
        one, = self.smaller([1], 0)
        self.assertEqual(self.runs, 0)
        self.assertEqual((one["hours"], one["nodes"], one["faults"], one["isLate"]), (24.0, 3, ["a", "b", "c"], True))
        self.assertEqual(simulate_page.shown(one, self.KINDS), (3, 24.0, "`a`, `b`, `c` (the time was up)", "`x`"))

    def test_the_command_that_shows_a_seed_is_named(self):
        one, = self.smaller([7], 600)
        self.assertRegex(simulate_page.again(one, OPTIONS), r"^podidentd-lab simulate --seed 7 --hours 5\.\d+ --nodes 1 --pods 2 "
                         r"--fault-pause 600 --without a --without c --without d$")


class PageTests(unittest.TestCase):
    KINDS = {"fault": ["a", "b"], "invariant": ["x"], "mutation": ["m"]}

    def world(self, nodes, violations):
        report = {"seconds": 1, "processor": 2, "hours": 24, "statuses": {"200": 3}, "faults": {"a": 1}, "checks": {"x": 4}}
        report |= {"pods": 5, "agents": 6, "requests": 7, "resets": 8, "calls": 9, "events": 10, "violations": violations}
        return simulate_page.World(types.SimpleNamespace(**vars(OPTIONS) | {"nodes": nodes, "seed": 1}), [report], ["ab", "ab"])

    def test_the_world_beside_has_a_column_of_its_own_and_the_sums_are_of_both(self):
        found = [("m", 2, ["x"], None)]
        text = simulate_page.page(self.KINDS, [self.world(1, ["x", "x"]), self.world(3, [])], [], found, {}, 20)
        self.assertIn("\n| | one node | 3 nodes |\n|---|---|---|\n| seeds | 1 (from 1) | 1 (from 1) |\n", text)
        self.assertIn("\n| seeds that break an invariant | 1 | 0 |\n", text)
        self.assertIn("\n| fault | times |\n|---|---|\n| `a` | 2 |\n| `b` | 0 |\n", text)
        self.assertIn("\n| `x` | 8 | 1 |\n", text)
        self.assertIn("\n| `m` | 2 | `x` | - |\n", text)
        self.assertNotIn("made smaller", text)

    def test_seeds_that_were_made_smaller_are_all_listed(self):
        failures = [{"seed": seed, "nodes": 1, "hours": 1.5, "faults": faults, "without": [], "violations": ["x"], "isLate": False}
                    for seed, faults in ((1, ["a", "b"]), (2, ["b"]), (3, []))]
        text = simulate_page.page(self.KINDS, [self.world(1, ["x"])], failures, [], {}, 20)
        self.assertIn("\n| 1 | 1 | 1.5 | all | `x` |\n| 2 | 1 | 1.5 | `b` | `x` |\n| 3 | 1 | 1.5 | none | `x` |\n", text)

    def test_what_people_wrote_stays(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "page.md")
            path.write_text("By hand.\n<!-- From here on .ci/simulate writes. -->\nold\n")
            simulate_page.write(path, "new\n")
            self.assertEqual(path.read_text(), "By hand.\n<!-- From here on .ci/simulate writes. -->\nnew\n")


if __name__ == "__main__":
    unittest.main()
