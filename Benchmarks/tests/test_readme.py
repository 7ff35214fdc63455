"""RESULTS.md shows the committed results, and the README names no other figures."""

import os
import re
import unittest

import readme


class ReadmeTest(unittest.TestCase):
    def test_table(self):
        self.assertEqual(readme.main(["--check"]), 0)

    def test_figures_of_the_readme(self):
        with open(os.path.join(readme.HERE, os.pardir, "README.md")) as file:
            section = re.search(r"^## Figures\n(.*?)^## ", file.read(), re.DOTALL | re.MULTILINE).group(1)
        with open(readme.TABLE) as file:
            table = file.read()
        figures = re.findall(r"\*\*([\d,.]+)\*\*", section)
        self.assertGreaterEqual(len(figures), 8)
        for figure in figures:
            self.assertRegex(table, rf"(?<![\d.,]){re.escape(figure)}(?![\d.,]*\d)", f"README.md: {figure}")

    def test_between_its_marks(self):
        text = f"a\n{readme.BEGIN}old\n{readme.END}b\n"
        new = readme.with_table(text, "| new |\n")
        self.assertEqual(new, f"a\n{readme.BEGIN}\n| new |\n\n{readme.END}b\n")
        self.assertEqual(readme.with_table(new, "| new |\n"), new)

    def test_marks_are_missing(self):
        for text in ("", readme.BEGIN, readme.END + readme.BEGIN):
            with self.assertRaises(ValueError):
                readme.with_table(text, "")


if __name__ == "__main__":
    unittest.main()
