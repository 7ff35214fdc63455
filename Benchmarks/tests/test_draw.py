"""Pictures are well-formed, hold what was measured, and what was not measured is named."""

import json
import os
import sys
import tempfile
import unittest
import xml.etree.ElementTree as tree

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))

from draw import draw, main  # noqa: E402
from harness.charts import PICTURES  # noqa: E402
from harness.flame import flame_graph  # noqa: E402

FIXTURE = os.path.join(HERE, "fixtures", "results.json")
SVG = "{http://www.w3.org/2000/svg}"


def fixture():
    with open(FIXTURE) as file:
        return json.load(file)


class DrawTests(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = directory.name

    def picture(self, name):
        return tree.parse(os.path.join(self.directory, name)).getroot()

    def words(self, name):
        return [element.text for element in self.picture(name).iter(SVG + "text")]

    def test_every_picture_is_drawn_and_well_formed(self):
        drawn, missing = draw(fixture(), self.directory)
        self.assertEqual(missing, [])
        self.assertEqual(set(drawn), set(PICTURES))
        for name in drawn:
            self.assertEqual(self.picture(name).tag, SVG + "svg")

    def test_a_line_has_a_point_for_every_scene(self):
        draw(fixture(), self.directory)
        lines = list(self.picture("requests-by-pods.svg").iter(SVG + "polyline"))
        self.assertEqual(len(lines), 4)  # two servers, with and without keep-alive
        for line in lines:
            self.assertEqual(len(line.get("points").split()), 4)
        self.assertIn("1 pod of 5,000 cgroups", self.words("requests-by-pods.svg"))

    def test_more_requests_are_higher_up(self):
        draw(fixture(), self.directory)
        heights = {}
        for line in self.picture("requests-by-pods.svg").iter(SVG + "polyline"):
            first = line.get("points").split()[0]
            heights[line.get("stroke"), line.get("stroke-dasharray")] = float(first.split(",")[1])
        # nginx with keep-alive (60,000/s) is above the agent on new connections (10,000/s).
        self.assertLess(heights["#8a6d00", "6 4"], heights["#0b62d6", None])

    def test_everything_lies_inside_the_picture(self):
        draw(fixture(), self.directory)
        for name in PICTURES:
            root = self.picture(name)
            for line in root.iter(SVG + "polyline"):
                for point in line.get("points").split():
                    x, y = map(float, point.split(","))
                    self.assertTrue(0 <= x <= 720 and 0 <= y <= 400, f"{name}: {point}")

    def test_names_of_functions_cannot_break_a_flame_graph(self):
        image = flame_graph([["main;outer<Element & Value>;inner", 6], ["main;other", 4]], "keep")
        titles = {element.text for element in tree.fromstring(image).iter(SVG + "title")}
        self.assertEqual(titles, {"main (100.0%)", "outer<Element & Value> (60.0%)", "inner (60.0%)", "other (40.0%)"})

    def test_a_figure_that_was_not_measured_is_named(self):
        results = fixture()
        del results["figures"]["8"]
        drawn, missing = draw(results, self.directory)
        self.assertNotIn("memory-by-pods.svg", drawn)
        self.assertEqual(missing, ["memory-by-pods.svg: figure 8 has no memory: run 'bench.py --only 8'"])

    def test_results_that_cannot_be_read_are_an_error(self):
        self.assertEqual(main([os.path.join(self.directory, "none.json"), self.directory]), 1)


if __name__ == "__main__":
    unittest.main()
