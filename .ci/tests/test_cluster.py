"""What `.ci/cluster` changes on its machine is taken back, by one run at a time; what fails is a sentence."""

import pathlib
import subprocess
import sys
import tempfile
import unittest
import unittest.mock

CI = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(CI))

import cluster_machine  # noqa: E402
from tests import load  # noqa: E402

cluster = load("cluster")


class Case(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)

    def put(self, module, **values):
        """Has other values in a module for the time of a test."""
        for name, value in values.items():
            patch = unittest.mock.patch.object(module, name, value)
            patch.start()
            self.addCleanup(patch.stop)


class UndoTests(Case):
    def setUp(self):
        super().setUp()
        self.file = self.root / "undo.json"
        self.made = [self.root / "etc/cni", self.root / "opt/cni"]
        (self.root / "run").mkdir()
        (self.root / "sys/vm").mkdir(parents=True)
        self.setting = self.root / "sys/vm/panic"
        self.setting.write_text("0\n")
        (self.root / "boot").write_text("a boot\n")
        self.group = self.root / "group"
        self.put(
            cluster_machine, FOLDERS=[str(name) for name in [*self.made, self.root / "run"]], TUNABLES=["vm/panic", "vm/not-here"],
            SETTINGS=self.root / "sys", BOOT=self.root / "boot", groups=lambda: [self.group])
        cluster_machine.change(self.file)
        self.setting.write_text("1\n")
        (self.group / "pods").mkdir(parents=True)

    def test_what_was_changed_is_taken_back_and_what_was_there_stays(self):
        self.assertTrue(all(name.is_dir() for name in self.made))
        cluster_machine.undo(self.file)
        self.assertEqual([name.exists() for name in [*self.made, self.root / "run", self.group]], [False, False, True, False])
        self.assertEqual(self.setting.read_text(), "0\n")
        self.assertFalse(self.file.exists())
        # Nothing is left to take back.
        cluster_machine.undo(self.file)

    def test_a_folder_that_is_in_use_or_gone_by_now_keeps_nothing_from_being_taken_back(self):
        (self.made[0] / "kept").touch()
        cluster_machine.undo(self.file)
        self.assertEqual([name.exists() for name in self.made], [True, False])
        self.assertFalse(self.file.exists())
        cluster_machine.change(self.file)
        self.made[1].rmdir()
        cluster_machine.undo(self.file)
        self.assertFalse(self.file.exists())

    def test_what_was_changed_before_the_machine_was_booted_is_not(self):
        for boot in ("another boot\n", None):
            with self.subTest(boot):
                cluster_machine.change(self.file)
                if boot:
                    (self.root / "boot").write_text(boot)
                else:
                    self.file.write_text(self.file.read_text().replace('"boot"', '"of an older file"'))
                self.setting.write_text("1\n")
                cluster_machine.undo(self.file)
                self.assertTrue(all(name.is_dir() for name in self.made))
                self.assertEqual(self.setting.read_text(), "1\n")
                self.assertFalse(self.file.exists())


class LockTests(Case):
    def test_a_machine_has_one_run_at_a_time(self):
        self.put(cluster_machine, LOCK=self.root / "lock/cluster")
        with cluster_machine.lock():
            with self.assertRaisesRegex(SystemExit, "another run of this is under way on this machine"):
                cluster_machine.lock()
        cluster_machine.lock().close()

    def test_a_link_that_somebody_else_has_put_there_is_not_followed(self):
        self.put(cluster_machine, LOCK=self.root / "cluster")
        (self.root / "cluster").symlink_to(self.root / "precious")
        with self.assertRaisesRegex(SystemExit, "cannot be opened"):
            cluster_machine.lock()
        self.assertFalse((self.root / "precious").exists())


class FailureTests(Case):
    def test_a_program_that_fails_is_one_sentence(self):
        for words, sentence in (
                (["sh", "-c", "exit 3"], "cluster: 'sh -c exit 3' failed (status 3)"),
                (["sh", "-c", "echo no such; echo package >&2; exit 3"],
                 "cluster: 'sh -c echo no such; echo package >&2; exit 3' failed (status 3): package")):
            self.put(cluster, take=lambda _: cluster.run(*words, capture_output=True, text=True))
            with self.subTest(words), self.assertRaises(SystemExit) as end:
                cluster.main([])
            self.assertEqual(end.exception.code, sentence)

    def test_a_program_that_cannot_enter_its_groups_is_one_sentence(self):
        self.put(cluster, take=lambda _: subprocess.run(["true"], preexec_fn=lambda: 1 / 0))
        with self.assertRaisesRegex(SystemExit, "^cluster: a program could not be started: "):
            cluster.main([])

    def test_a_copy_that_ends_early_is_no_program(self):
        (self.root / "source").write_text("a program")
        place = self.root / "etcd"
        with unittest.mock.patch.object(cluster.shutil, "copy", side_effect=OSError("no space left")), self.assertRaises(OSError):
            cluster.put(self.root / "source", place)
        self.assertFalse(place.exists())
        cluster.put(self.root / "source", place)
        self.assertEqual(place.read_text(), "a program")


if __name__ == "__main__":
    unittest.main()
