""".ci/arm64 builds as .ci/release does, and docs/arm64.md says of every target of unit tests what it does with it."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
import unittest.mock

CI = pathlib.Path(__file__).resolve().parent.parent
ROOT = CI.parent
sys.path.insert(0, str(CI))

from tests import load  # noqa: E402

arm64 = load("arm64")

NUMBERS = [
    "no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen",
    "fourteen", "fifteen"]


class Arm64Tests(unittest.TestCase):
    def setUp(self):
        self.text = (ROOT / "docs/arm64.md").read_text()
        # What is done with a target, by its name.
        self.rows = {}
        for names, what in re.findall(r"^\| (`\w+Tests`[^|]*) \| ([^|]*) \|$", self.text, re.MULTILINE):
            self.rows |= {name: what for name in re.findall(r"`(\w+)`", names)}

    def test_each_target_is_run_or_built_or_neither_as_it_is_written(self):
        package = (ROOT / "Package.swift").read_text()
        targets = set(re.findall(r"\.testTarget\(\s*name: \"(\w+)\"", package))
        left_out = set(re.findall(r'"(\w+)"', re.search(r"let others = \[(.*?)\]", package, re.DOTALL)[1]))
        self.assertGreater(len(targets), 20)
        self.assertEqual(set(self.rows), targets)
        for name, what in self.rows.items():
            kind = "run" if name in arm64.UNIT_TESTS else "not built" if name in left_out else "built, not run"
            self.assertRegex(what, rf"^{kind}($|[:,] (?!not))", name)

    def test_each_suite_that_is_left_out_is_named(self):
        for name, suites in arm64.UNIT_TESTS.items():
            self.assertEqual(re.findall(r"`(\w+Tests)`", self.rows[name]), suites)
            for suite in suites:
                self.assertTrue(any(suite in path.read_text() for path in (ROOT / "Tests" / name).rglob("*.swift")), suite)

    def test_the_numbers_of_targets_and_suites_are_right(self):
        suites = sum(map(len, arm64.UNIT_TESTS.values()))
        self.assertIn(
            f"{NUMBERS[len(arm64.UNIT_TESTS)]} targets of unit tests, without {NUMBERS[suites]} suites of theirs", self.text)


class ReleaseTests(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def of_this_machine(self):
        """What .ci/release gives to a Swift that builds nothing, without places, and the folder with Swift's libraries."""
        (self.folder / "clone/.ci").mkdir(parents=True)
        for name in ("need-swift", "release", "release.options", "unmark"):
            shutil.copy(CI / name, self.folder / "clone/.ci")
        resources = self.folder / "swift_static"
        (resources / "linux").mkdir(parents=True)
        (resources / "linux/libswiftCore.a").write_bytes(b"!<arch>\n")
        swift = self.folder / "swift"
        swift.write_text(f"""#!/bin/bash
            if [ "$1" = build ]; then printf '%s\\n' "$PODIDENTD_SWIFT_RESOURCES" "$@"; exit; fi
            [ "$*" = "-print-target-info -static-stdlib" ] && echo '"runtimeResourcePath": "{resources}"'
        """)
        swift.chmod(0o755)
        built = subprocess.run(
            [self.folder / "clone/.ci/release", "podidentd"], env=os.environ | {"SWIFT": str(swift), "CC": "true"},
            capture_output=True, text=True, check=True)
        copy, build, *words = built.stdout.splitlines()
        self.assertEqual((build, words[-2:]), ("build", ["--product", "podidentd"]))
        return words[:words.index("--scratch-path")], pathlib.Path(copy)

    def test_another_processor_gets_the_options_of_a_release(self):
        options, copy = self.of_this_machine()
        self.assertTrue((copy / "linux/libswiftCore.a").is_file())
        self.assertTrue({"release", "--static-swift-stdlib", "-internalize-at-link", "-ffunction-sections"} <= set(options))
        (self.folder / "stripped").mkdir()
        for product in arm64.PRODUCTS:
            (self.folder / "stripped" / product).touch()
        replaced = {name: unittest.mock.DEFAULT for name in ("packages", "run", "inside", "objcopy", "print")}
        with unittest.mock.patch.multiple(arm64, create=True, WORK=self.folder, read=lambda *_: "Machine:  AArch64", **replaced) as calls:
            arm64.programs()
        unmarked = calls["run"].call_args_list[0].args
        self.assertEqual(unmarked, (CI / "unmark", arm64.TARGET / arm64.SWIFT / "lib/swift_static", arm64.STATIC / "swift"))
        builds = [list(call.args) for call in calls["inside"].call_args_list]
        self.assertEqual([words[-2:] for words in builds], [["--product", product] for product in arm64.PRODUCTS])
        for words in builds:
            self.assertEqual(words[-2 - len(options):-2], options)
            self.assertIn(f"PODIDENTD_SWIFT_RESOURCES=/work/{(arm64.STATIC / 'swift').relative_to(ROOT)}", words[:words.index("swift")])

    def test_what_is_unpacked_is_known_by_the_database_of_its_folder(self):
        sysroot = self.folder / "sysroot"
        for name, field in (("libshared", "Multi-Arch: same\n"), ("tool", "")):
            tree = self.folder / name
            (tree / "DEBIAN").mkdir(parents=True)
            (tree / "usr/lib").mkdir(parents=True)
            (tree / f"usr/lib/{name}.a").touch()
            (tree / "DEBIAN/control").write_text(
                f"Package: {name}\nVersion: 1:2.3-4\nArchitecture: arm64\nSource: {name}-source\nMaintainer: A <a@example.com>\n{field}"
                "Description: one\n more\n")
            package = self.folder / f"{name}.deb"
            subprocess.run(["dpkg-deb", "--build", tree, package], check=True, capture_output=True)
            arm64.unpack(package, sysroot)
            arm64.record(package, sysroot)

        def query(*words):
            command = ["dpkg-query", f"--admindir={sysroot}/var/lib/dpkg", *words]
            return subprocess.run(command, check=True, capture_output=True, text=True)

        for name in ("libshared", "tool"):
            self.assertTrue((sysroot / f"usr/lib/{name}.a").is_file())
            owner = query("-S", f"/usr/lib/{name}.a")
            self.assertEqual((owner.stdout, owner.stderr), (f"{name}:arm64: /usr/lib/{name}.a\n", ""))
            entry = query("-W", "-f", "${Package} ${Version} ${source:Package}", f"{name}:arm64").stdout
            self.assertEqual(entry, f"{name} 1:2.3-4 {name}-source")


if __name__ == "__main__":
    unittest.main()
