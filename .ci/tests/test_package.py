"""Every dependency that the package manifest declares for a target is imported by it. The build refuses the opposite."""

import json
import os
import pathlib
import re
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
IMPORT = re.compile(
    r"^\s*(?:@\w+(?:\([^)]*\))?\s+)*(?:(?:package|public|internal|private)\s+)?import\s+(?:(?:struct|class|enum|func)\s+)?(\w+)",
    re.MULTILINE)
# The module of the agent's programs begins with the former.
HOME = re.compile(r'^#pragma clang module import CLibbpf$|^#include "CBPFPrograms.h"$', re.MULTILINE)


def description():
    # In the build's folder it would wait for tests that run meanwhile.
    with tempfile.TemporaryDirectory() as scratch:
        output = subprocess.run(
            [os.environ.get("SWIFT") or "swift", "package", "--scratch-path", scratch, "describe", "--type", "json"], cwd=ROOT,
            capture_output=True, text=True, check=True).stdout
    # Warnings about packages come first.
    return json.loads(output[output.index("{"):])


def imports(target):
    """The modules that a target's Swift files import."""
    files = [ROOT / target["path"] / source for source in target["sources"] if source.endswith(".swift")]
    return set().union(*(IMPORT.findall(file.read_text()) for file in files))


class PackageTests(unittest.TestCase):
    def test_no_dependency_is_stale(self):
        targets = description()["targets"]
        programs = {target["name"] for target in targets if target["type"] == "executable"}
        stale = []
        for target in targets:
            declared = target.get("target_dependencies", []) + target.get("product_dependencies", [])
            # Tests and the lab run programs that they do not import.
            unused = set(declared) - programs - imports(target)
            # A target in C names what it includes, not what it imports.
            if unused and any(source.endswith(".swift") for source in target["sources"]):
                stale.append(f"{target['name']}: {', '.join(sorted(unused))}")
        self.assertEqual(stale, [], "targets with dependencies that they do not import")

    def test_the_types_of_libbpf_have_one_home(self):
        """A header that includes libbpf's again must take CLibbpf's first, by itself or with the agent's programs: which module a
        type is of depends on chance else.
        """
        found = 0
        for module in ROOT.glob("*/C*/include"):
            umbrella = module / f"{module.parent.name}.h"
            text = umbrella.read_text() if umbrella.exists() else ""
            if ".skel.h" in text:
                found += 1
                beginning = text[:re.search(r'^#include "\w+\.skel\.h"', text, re.MULTILINE).start()]
                self.assertRegex(beginning, HOME, umbrella)
        self.assertEqual(found, 2)

    def test_no_integer_has_128_bits(self):
        """Debug builds for arm64 lose half of one that an asynchronous function takes or returns (swiftlang/swift#89842)."""
        code = re.compile(r"^(?!\s*//).*\bU?Int128\b", re.MULTILINE)
        self.assertRegex("    let digits: UInt128", code)
        found = [str(file) for place in ("Sources", "Lab") for file in (ROOT / place).rglob("*.swift") if code.search(file.read_text())]
        self.assertEqual(found, [])


if __name__ == "__main__":
    unittest.main()
