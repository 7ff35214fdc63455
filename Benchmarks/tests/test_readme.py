"""The README shows the committed results."""

import unittest

import readme


class ReadmeTest(unittest.TestCase):
    def test_table(self):
        self.assertEqual(readme.main(["--check"]), 0)

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
