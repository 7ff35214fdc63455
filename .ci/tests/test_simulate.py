"""Simulated seeds add up over runs, and none is lost unnoticed."""

import pathlib
import sys
import tempfile
import types
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

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

    def test_a_seed_that_needs_every_fault_says_so_in_a_word(self):
        kinds = {"fault": ["a", "b"]}
        self.assertEqual(simulate.shown({"hours": 6.0, "faults": ["a", "b"], "violations": ["x"]}, kinds), (6.0, "all", "x"))
        self.assertEqual(simulate.shown({"hours": 1.5, "faults": ["b"], "violations": ["x", "y"]}, kinds), (1.5, "b", "x, y"))

    def test_a_program_that_is_killed_is_no_run_without_a_seed(self):
        with tempfile.TemporaryDirectory() as folder:
            lab = pathlib.Path(folder, "lab")
            lab.write_text("#!/bin/sh\nkill -KILL $$\n")
            lab.chmod(0o755)
            with self.assertRaisesRegex(SystemExit, "ended with -9"):
                simulate.run(str(lab), 1)


if __name__ == "__main__":
    unittest.main()
