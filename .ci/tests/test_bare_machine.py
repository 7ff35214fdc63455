"""Every target of `make help` says in a sentence what is missing on a machine where nothing is installed."""

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
WORDS_OF_THE_SHELL = re.compile(r"not found|[Pp]ermission denied|[Nn]o such file|Traceback|unbound variable")


def targets():
    return re.findall(r"^([a-z0-9-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE)


class BareMachineTests(unittest.TestCase):
    def test_each_target_says_what_is_missing(self):
        with tempfile.TemporaryDirectory() as folder:
            for name in ESSENTIAL:
                if program := shutil.which(name):
                    os.symlink(program, f"{folder}/{name}")
            environment = {"PATH": folder, "HOME": folder, "TMPDIR": folder}
            for target in sorted(set(targets()) - EXEMPT):
                with self.subTest(target):
                    result = subprocess.run(
                        [f"{folder}/make", "--no-print-directory", target], cwd=ROOT, env=environment,
                        capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60)
                    words = [
                        line for line in (result.stdout + result.stderr).splitlines() if not line.startswith("make")]
                    self.assertNotEqual(result.returncode, 0)
                    self.assertRegex(words[-1] if words else "", r"missing\b.*\.$|is missing: install .*\.$")
                    self.assertNotRegex("\n".join(words), WORDS_OF_THE_SHELL)

    def test_there_are_targets(self):
        self.assertGreater(len(targets()), 20)


if __name__ == "__main__":
    unittest.main()
