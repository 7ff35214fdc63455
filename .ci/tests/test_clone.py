"""An image names the commit of its sources, also in a clone that another user owns."""

import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]


class CommitTests(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.clone = pathlib.Path(folder.name, "clone")
        for name in (".ci/git", "deploy/image/commit"):
            (self.clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, self.clone / name)
        # The machine's own configuration may call every clone safe, and a caller of these tests may be git.
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")} | {
            "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1", "GIT_CEILING_DIRECTORIES": folder.name}

    def run_(self, *command, **variables):
        return subprocess.run(
            command, cwd=self.clone, env=self.environment | variables, capture_output=True, text=True)

    def git(self, *arguments):
        result = self.run_("git", "-c", "user.name=a", "-c", "user.email=a@example.com", *arguments)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout.strip()

    def commit(self, **variables):
        result = self.run_("bash", "deploy/image/commit", **variables)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        return result.stdout

    def test_sources_without_a_clone_have_no_commit(self):
        self.assertEqual(self.commit(), "unknown 0\n")

    def test_another_users_clone_has_its_commit_its_time_and_its_changes(self):
        self.git("init", "--quiet")
        self.git("add", ".")
        self.git("commit", "--quiet", "--message", "First")
        revision, time = self.git("log", "-1", "--format=%H %ct").split()
        for owner in ({}, {"GIT_TEST_ASSUME_DIFFERENT_OWNER": "1"}):
            with self.subTest(owner):
                self.assertEqual(self.run_("git", "status", **owner).returncode == 0, not owner)
                self.assertEqual(self.commit(**owner), f"{revision} {time}\n")
                (self.clone / "more").touch()
                self.assertEqual(self.commit(**owner), f"{revision}-changed {time}\n")
                (self.clone / "more").unlink()

    def test_no_script_of_the_image_asks_git_by_itself(self):
        texts = {path.name: path.read_text() for path in (ROOT / "deploy/image").iterdir()}
        packing = {name for name, text in texts.items() if "bash deploy/image/pack " in text}
        self.assertEqual(packing, {"assemble", "build-lab"})
        for name in packing | {"build"}:
            self.assertEqual("bash deploy/image/commit" in texts[name], name in packing, name)
            self.assertNotRegex(texts[name], r"\bgit (log|rev-parse|status)", name)


if __name__ == "__main__":
    unittest.main()
