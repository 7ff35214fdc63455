"""Every target of `make help` says in a sentence what is missing on a machine where nothing is installed, or everything but Swift."""

import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
# What every Debian has, and make.
ESSENTIAL = [
    "sh", "bash", "make", "env", "cat", "cut", "dirname", "expand", "grep", "id", "ls", "mkdir", "mktemp", "printf", "pwd",
    "rm", "sed", "tr", "uname"]
# They need nothing, and `clean` removes what is built here.
EXEMPT = {"help", "clean"}
# Targets that need no Swift.
WITHOUT_SWIFT = EXEMPT | {"cases", "rooms", "bench-test", "deploy-test", "golden"}
WORDS_OF_THE_SHELL = re.compile(r"not found|[Pp]ermission denied|[Nn]o such file|Traceback|unbound variable")


def targets():
    return re.findall(r"^([a-z0-9-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE)


class BareMachineTests(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.add(ESSENTIAL)

    def add(self, names):
        """Puts programs of this machine into the other's PATH."""
        for name in names:
            if program := shutil.which(name):
                os.symlink(program, f"{self.folder}/{name}")

    def script(self, name, text):
        path = pathlib.Path(self.folder, name)
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return path

    def make(self, *arguments):
        environment = {"PATH": self.folder, "HOME": self.folder, "TMPDIR": self.folder}
        return subprocess.run(
            [f"{self.folder}/make", "--no-print-directory", *arguments], cwd=ROOT, env=environment, capture_output=True,
            text=True, stdin=subprocess.DEVNULL, timeout=60)

    def failure(self, *arguments):
        """What a target that fails says, without make's own words."""
        result = self.make(*arguments)
        self.assertNotEqual(result.returncode, 0)
        words = [line for line in (result.stdout + result.stderr).splitlines() if not line.startswith("make")]
        self.assertNotRegex("\n".join(words), WORDS_OF_THE_SHELL)
        return words

    def test_each_target_says_what_is_missing(self):
        for target in sorted(set(targets()) - EXEMPT):
            with self.subTest(target):
                words = self.failure(target)
                self.assertRegex(words[-1] if words else "", r"missing\b.*\.$|is missing: install .*\.$")

    def test_each_target_that_needs_swift_says_so_where_all_else_is_there(self):
        self.add(["python3", "realpath", "git"])
        # Whatever package is asked for.
        self.script("dpkg-query", "echo -n installed")
        for target in [*sorted(set(targets()) - WITHOUT_SWIFT), "model-test"]:
            for swift in ([], ["SWIFT=/nowhere/swift"]):
                with self.subTest(target, swift=swift):
                    words = self.failure(target, *swift)
                    self.assertRegex(words[-1] if words else "", r"^Swift 6.3 is missing: install .*\.$")
                    if swift:
                        self.assertIn("There is no program '/nowhere/swift', which SWIFT names.", words)

    def test_a_number_of_jobs_changes_nothing(self):
        for target in ("test", "demo"):
            self.assertEqual(self.failure("-j8", target), self.failure(target))

    def test_a_toolchain_that_is_named_is_the_one_that_is_used(self):
        self.add(["python3", "realpath"])
        self.script("dpkg-query", "echo -n installed")
        swift = self.script("toolchain/swift", "echo the named Swift")
        clang = self.script("toolchain/clang", "echo the named clang")
        for target in ("setup", "lint"):
            self.assertEqual(self.make(target, f"SWIFT={swift}").returncode, 0)
        self.assertIn(f"{clang} -g", self.make("--always-make", "--dry-run", "bpf", f"SWIFT={swift}").stdout)
        code = "import toolchain; print(toolchain.swift(), toolchain.clang())"
        found = subprocess.run(
            ["python3", "-c", code], cwd=ROOT / ".ci", env={"PATH": self.folder, "SWIFT": str(swift)}, capture_output=True, text=True)
        self.assertEqual(found.stdout, f"{swift} {clang}\n", found.stderr)

    def test_there_are_targets(self):
        self.assertGreater(len(targets()), 20)


if __name__ == "__main__":
    unittest.main()
