"""No function of a Python program or test has more than 70 lines. `SizeTests` says the same of Swift and C."""

import ast
import pathlib
import subprocess
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
LINES_MAX = 70
# A finding is a file that is read, and run, alone.
ALONE = "findings/"


def programs():
    """The path and the text of each Python file of the repository, those without a suffix too."""
    names = subprocess.run(
        [ROOT / ".ci" / "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], capture_output=True, check=True)
    for name in names.stdout.decode().split("\0"):
        path = ROOT / name
        if name.startswith(ALONE) or not path.is_file():
            continue
        with path.open("rb") as file:
            first = file.readline(100)
        if name.endswith(".py") or (first.startswith(b"#!") and b"python" in first):
            yield name, path.read_text()


def functions(text):
    """The name, the first line and the length of each function."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.name, node.lineno, node.end_lineno - node.lineno + 1


class FunctionTests(unittest.TestCase):
    def test_no_function_has_more_than_70_lines(self):
        found = [(path, *function) for path, text in programs() for function in functions(text)]
        # With a suffix and without one.
        self.assertLessEqual({".ci/conformance", "deploy/tests/test_manifests.py"}, {path for path, *_ in found})
        self.assertEqual(
            [f"{path}:{line}: {name}: {length} lines" for path, name, line, length in found if length > LINES_MAX], [])

    def test_a_function_of_71_lines_is_found(self):
        body = "        work()\n" * 70
        self.assertEqual(list(functions(f"class A:\n    def long(self):\n{body}")), [("long", 2, 71)])


if __name__ == "__main__":
    unittest.main()
