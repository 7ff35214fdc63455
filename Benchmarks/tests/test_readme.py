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

    def test_figures_of_other_documents(self):
        """Sizes that documents name are those of the committed results, rounded to as many places."""
        with open(readme.TABLE) as file:
            rows = dict(re.findall(
                r"^\| (resident memory, \d+ pods|binary, stripped|image, \w+)[^|]* \| ([\d.]+) MB ", file.read(), re.MULTILINE))
        image = ["image, unpacked", "binary, stripped", "image, compressed"]
        now = r" \|[^|]+\| ([\d.]+) MB \|"
        named = [
            ("README.md", r"image has ([\d.]+) MB compressed, ([\d.]+) MB unpacked", [image[2], image[0]]),
            ("deploy/README.md", r"Memory: ([\d.]+) MB resident with 110 pods", ["resident memory, 110 pods"]),
            ("deploy/README.md", r"([\d.]+) MB, of which the agent is ([\d.]+); ([\d.]+) MB by gzip", image),
            ("deploy/README.md", r"\| image, unpacked" + now, image[:1]),
            ("deploy/README.md", r"\| the agent, stripped" + now, image[1:2]),
            ("deploy/README.md", r"\| image, as a registry gets it" + now, image[2:]),
            ("deploy/README.md", r"\| resident memory with 110 pods" + now, ["resident memory, 110 pods"]),
            ("docs/operate/operations.md", r"([\d.]+) MB without pods, ([\d.]+) MB with 110, ([\d.]+) MB with 500 pods",
             [f"resident memory, {pods} pods" for pods in (0, 110, 500)]),
        ]
        for path, pattern, names in named:
            with open(os.path.join(readme.HERE, os.pardir, path)) as file:
                found = re.search(pattern, file.read())
            self.assertIsNotNone(found, f"{path}: {pattern}")
            for text, name in zip(found.groups(), names):
                self.assertIn(name, rows, "run make image, then make bench ONLY=8")
                places = len(text.partition(".")[2])
                self.assertEqual(float(text), round(float(rows[name]), places), f"{path}: {name}")

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
