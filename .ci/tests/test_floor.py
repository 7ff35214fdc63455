"""What `make floor` decides before and after its machine runs."""

import importlib.machinery
import importlib.util
import pathlib
import sys
import unittest

CI = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(CI))

import floor_image  # noqa: E402

loader = importlib.machinery.SourceFileLoader("floor", str(CI / "floor"))
sys.dont_write_bytecode = True
floor = importlib.util.module_from_spec(importlib.util.spec_from_loader("floor", loader))
loader.exec_module(floor)


class FloorTests(unittest.TestCase):
    def test_the_default_steps_leave_the_attacks_out(self):
        self.assertEqual([line.split()[0] for line in floor.plan({})], floor.DEFAULT_STEPS)
        self.assertNotIn("attack", floor.DEFAULT_STEPS)

    def test_steps_and_a_command_can_be_chosen(self):
        self.assertEqual(len(floor.plan({"STEPS": "demo attack"})), 2)
        self.assertEqual(floor.plan({"COMMAND": "uname -a"}), ["command 300 uname -a"])

    def test_an_unknown_step_is_named(self):
        with self.assertRaisesRegex(floor_image.Unavailable, "'nonsense'"):
            floor.plan({"STEPS": "nonsense"})

    def test_a_failed_step_and_an_early_end_are_seen(self):
        verdict = floor.Verdict()
        for line in ["floor: begin kernel", "floor: end kernel 1 201", "floor: end demo 0 32"]:
            verdict.read(line)
        self.assertEqual((verdict.failed, verdict.is_finished), (["kernel"], False))
        verdict.read("floor: finished")
        self.assertTrue(verdict.is_finished)

    def test_the_mirror_is_the_machines_own(self):
        targets = "http://a.example/debian trixie\nhttp://b.example/debian bookworm\n"
        self.assertEqual(floor_image.mirror(targets, "bookworm"), "http://b.example/debian")
        with self.assertRaisesRegex(floor_image.Unavailable, "bookworm"):
            floor_image.mirror("http://a.example/debian trixie\n", "bookworm")

    def test_modules_are_loaded_once_and_in_order(self):
        shown = "insmod /m/virtio.ko \ninsmod /m/virtio_blk.ko \nbuiltin ext4\ninsmod /m/virtio.ko \n"
        self.assertEqual(floor_image.module_paths(shown), ["/m/virtio.ko", "/m/virtio_blk.ko"])


if __name__ == "__main__":
    unittest.main()
