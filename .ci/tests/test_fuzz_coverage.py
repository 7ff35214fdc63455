"""What `.ci/fuzz-coverage` does before it fuzzes."""

import hashlib
import os
import pathlib
import re
import sys
import tempfile
import unittest
import unittest.mock

CI = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(CI))

from tests import load  # noqa: E402

fuzz_coverage = load("fuzz-coverage")
RUN = fuzz_coverage.run

MANIFEST = """commands:
  "C.Tokens-debug.module":
    tool: shell
    args: ["swiftc","-module-name","Tokens","-emit-module","-o","x"]

"""


class FuzzCoverageTests(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.manifest = pathlib.Path(folder.name, "debug.yaml")
        self.calls = []
        self.put(BUILD=pathlib.Path(folder.name), MANIFEST=self.manifest, run=self.calls.append)

    def put(self, **values):
        for name, value in values.items():
            patch = unittest.mock.patch.object(fuzz_coverage, name, value)
            patch.start()
            self.addCleanup(patch.stop)

    def main(self, **variables):
        with unittest.mock.patch.dict(os.environ, {"TARGETS": "", "MINUTES": "", **variables}):
            fuzz_coverage.main()

    def test_all_targets_are_built_before_the_first_is_fuzzed(self):
        def fuzz(name, program, seconds):
            self.calls.append((name, program, seconds))
            return True

        self.put(build=lambda name: self.calls.append(f"build {name}") or f"program {name}", fuzz=fuzz)
        self.main()
        names = ["decisions", "messages", "parsers"]
        seconds = -(-180 // len(names))
        self.assertEqual(self.calls, [f"build {name}" for name in names] + [(name, f"program {name}", seconds) for name in names])
        self.calls.clear()
        self.main(TARGETS="messages", MINUTES="0.5")
        self.assertEqual(self.calls, ["build messages", ("messages", "program messages", 30)])

    def test_what_is_missing_of_the_debug_build_is_one_sentence(self):
        for text, sentence in (
                (None, r"There is no debug build \(debug.yaml\): 'make build' comes first."),
                ("commands:\n", "The debug build has no module Tokens: 'make build' comes first."),
                (MANIFEST, "The debug build has no Text-debug.module: 'make build' comes first.")):
            if text is not None:
                self.manifest.write_text(text)
            with self.subTest(text), self.assertRaisesRegex(SystemExit, f"^{sentence}$"):
                fuzz_coverage.build("parsers")
        self.assertEqual(self.calls, [])

    def test_a_command_fits_another_output(self):
        self.assertEqual(fuzz_coverage.command(MANIFEST, "Tokens-debug.module"), ["swiftc", "-module-name", "Tokens"])

    def test_what_is_kept_for_the_parsers_names_each_of_them(self):
        folder = fuzz_coverage.HERE / "parsers"
        listed = re.search(r"private let parsers = \[(.*?)\]", (folder / "Parsers.swift").read_text(), re.DOTALL)[1]
        parsers = re.findall(r"\w+", listed)
        code = "".join(file.read_text() for file in folder.glob("*.swift"))
        for parser in parsers:
            self.assertIn(f"\nfunc {parser}(_ bytes: [UInt8]) {{", code)
        kept = {file.name: file.read_bytes() for file in (fuzz_coverage.HERE / "corpus/parsers").iterdir()}
        self.assertEqual({content[0] for content in kept.values()}, set(range(len(parsers))))
        self.assertEqual([], [name for name, content in kept.items() if hashlib.sha1(content).hexdigest() != name])

    def test_what_a_compiler_says_is_seen_when_it_fails_alone(self):
        RUN(["sh", "-c", "echo a warning >&2"])
        for script, sentence in (("echo an error >&2; exit 1", "an error\n"), ("exit 3", "sh failed (status 3).")):
            with self.assertRaises(SystemExit) as end:
                RUN(["sh", "-c", script])
            self.assertEqual(end.exception.code, sentence)


if __name__ == "__main__":
    unittest.main()
