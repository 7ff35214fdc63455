"""The dashboard as Prometheus answers it: every panel's expressions over series of every metric of the agent."""
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree

import manifests

sys.path.insert(0, str(manifests.DEPLOY / "observability"))
import picture  # noqa: E402
import prometheus  # noqa: E402

DASHBOARD = json.loads((manifests.DEPLOY / "observability/dashboard.json").read_text())
METRICS = manifests.DEPLOY.parent / "docs/operate/metrics.md"
PICTURE = manifests.DEPLOY.parent / "docs/operate/dashboard.svg"
START, STEP, COUNT = 1_760_000_000, 15, 40
# Values of labels that a panel selects by; any other label has two of its own.
SELECTED = {"state": ["in_place", "missing"], "code": ["200", "403"], "source": ["cached", "fetched"]}


def metrics():
    """Every metric of the agent, by the table that a test compares with the code: name, type, labels."""
    table = re.findall(r"^\| `(\w+)` \| (\w+) \| ([^|]*) \|", METRICS.read_text(), re.MULTILINE)
    return [(name, kind, re.findall(r"`(\w+)`", labels)) for name, kind, labels in table]


def combinations(labels):
    result = [{}]
    for label in labels:
        values = SELECTED.get(label, [f"{label}-1", f"{label}-2"])
        result = [series | {label: value} for series in result for value in values]
    return result


def exposition(skip=()):
    """Ten minutes of all metrics in OpenMetrics: counters rise, the guard of one instance is missing."""
    lines = []

    def sample(name, labels, value, moment):
        text = ",".join(f'{key}="{content}"' for key, content in labels.items())
        lines.append(f"{name}{{{text}}} {value} {moment}")

    for name, kind, labels in metrics():
        if name in skip:
            continue
        family = name.removesuffix("_total").removesuffix("_info")
        lines.append(f"# TYPE {family} {kind}")
        for number, series in enumerate(combinations(labels)):
            series = {"job": "podidentd", "instance": "node-a"} | series
            for index in range(COUNT):
                moment = START + index * STEP
                if kind == "histogram":
                    for bound, share in [("0.001", 1), ("0.1", 2), ("+Inf", 3)]:
                        sample(f"{name}_bucket", series | {"le": bound}, index * share, moment)
                    sample(f"{name}_count", series, index * 3, moment)
                    sample(f"{name}_sum", series, index * 0.1, moment)
                elif kind == "counter":
                    sample(name, series, index * (number + 1), moment)
                elif kind == "info":
                    sample(name, series, 1, moment)
                else:
                    sample(name, series, 0 if name == "podidentd_host_guard" else 5, moment)
    return "\n".join(lines) + "\n# EOF\n"


class Answered:
    """The dashboard, answered by a Prometheus over these series."""

    def __init__(self, text):
        with tempfile.TemporaryDirectory() as name:
            directory = pathlib.Path(name)
            (directory / "metrics").write_text(text)
            made = subprocess.run(
                [prometheus.TOOLS / "promtool", "tsdb", "create-blocks-from", "openmetrics", directory / "metrics",
                 directory / "data"],
                capture_output=True, text=True,
            )
            if made.returncode != 0:
                raise AssertionError(made.stderr)
            with prometheus.Prometheus(directory) as server:
                server.wait_until_ready()
                self.end = START + (COUNT - 1) * STEP
                self.shown = prometheus.answers(DASHBOARD, server, START, self.end, STEP)
                try:
                    server.range("sum(rate(x))", START, self.end, STEP)
                    self.complaint = None
                except RuntimeError as error:
                    self.complaint = str(error)

    def empty(self):
        return [panel["title"] for panel in DASHBOARD["panels"] if panel["type"] != "row" and not self.shown[panel["id"]]]


class DashboardTests(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.answered = Answered(exposition())

    def test_every_panel_has_data_where_its_metrics_have(self):
        self.assertGreater(len(metrics()), 40)
        self.assertEqual(self.answered.empty(), [])
        for panel in DASHBOARD["panels"]:
            for target in panel.get("targets", []):
                names = {name for name, _ in self.answered.shown[panel["id"]]}
                with self.subTest(panel["title"], legend=target["legendFormat"]):
                    pattern = re.sub(r"\\\{\\\{\w+\\\}\\\}", ".+", re.escape(target["legendFormat"]))
                    self.assertTrue(any(re.fullmatch(pattern, name) for name in names), names)

    def test_a_panel_whose_metric_is_not_there_is_empty(self):
        """What the test above finds, if a metric has another name."""
        answered = Answered(exposition(skip=["podidentd_pod_lists_total", "podidentd_pods", "podidentd_cgroups"]))
        self.assertEqual(answered.empty(), ["Pods and cgroups", "Pod lists"])

    def test_a_wrong_expression_is_prometheus_own_complaint(self):
        self.assertIn("expected type range vector", self.answered.complaint)

    def test_the_picture_has_every_panel_with_its_series(self):
        drawn = picture.draw(DASHBOARD, self.answered.shown, START, self.answered.end, "a note <&>")
        root = xml.etree.ElementTree.fromstring(drawn)
        texts = ["".join(element.itertext()) for element in root.iter("{http://www.w3.org/2000/svg}text")]
        for panel in DASHBOARD["panels"]:
            self.assertIn(panel["title"], texts)
        self.assertIn("a note <&>", texts)
        self.assertNotIn("No data", texts)
        empty = picture.draw(DASHBOARD, {}, START, self.answered.end, "")
        self.assertEqual(empty.count("No data"), sum(panel["type"] != "row" for panel in DASHBOARD["panels"]))

    def test_the_picture_in_the_documents_is_of_this_dashboard(self):
        root = xml.etree.ElementTree.fromstring(PICTURE.read_text())
        texts = ["".join(element.itertext()) for element in root.iter("{http://www.w3.org/2000/svg}text")]
        for panel in DASHBOARD["panels"]:
            self.assertIn(panel["title"], texts, "'make dashboard' draws it again")
        # Of a soak without SPIFFE, on a node that has its guard.
        self.assertLessEqual(texts.count("No data"), 12, "the soak that it shows had hardly any metrics")

    def test_numbers_are_written_as_people_read_them(self):
        for value, unit, text in [
            (0.0123, "s", "12.3 ms"), (0.0000456, "s", "45.6 µs"), (5400, "s", "1h30m"), (150, "s", "2m30s"), (2, "s", "2 s"),
            (0, "short", "0"), (1234567, "bytes", "1.23 MB"), (0.25, "percentunit", "25%"), (12, "reqps", "12 req/s"),
            (float("nan"), "s", "-"),
        ]:
            with self.subTest(value, unit=unit):
                self.assertEqual(picture.number(value, unit), text)
