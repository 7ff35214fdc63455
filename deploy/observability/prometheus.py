"""A Prometheus that lives as long as a 'with': it scrapes, or answers what a dashboard asks."""
import json
import math
import pathlib
import re
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent.parent
TOOLS = REPOSITORY / ".build/deploy/bin"
PATIENCE = 60


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Prometheus:
    """`inside`: a network namespace's file; without one it runs where this process does, and can be asked."""

    def __init__(self, directory, configuration="", inside=None):
        self.directory = pathlib.Path(directory)
        self.configuration = configuration
        self.inside = ["nsenter", f"--net={inside}", "--"] if inside else []
        self.address = f"127.0.0.1:{free_port()}"

    def __enter__(self):
        (self.directory / "prometheus.yml").write_text(self.configuration)
        self.log = open(self.directory / "log", "w")
        self.process = subprocess.Popen(
            [
                *self.inside, TOOLS / "prometheus", f"--config.file={self.directory}/prometheus.yml",
                f"--storage.tsdb.path={self.directory}/data", f"--web.listen-address={self.address}",
                "--storage.tsdb.retention.time=100y",
            ],
            stdout=self.log, stderr=self.log,
        )
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(PATIENCE)
        self.log.close()

    def wait_until_ready(self):
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                with urllib.request.urlopen(f"http://{self.address}/-/ready", timeout=PATIENCE) as answer:
                    if answer.status == 200:
                        return
            except (urllib.error.URLError, ConnectionError):
                pass
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("Prometheus does not serve: " + (self.directory / "log").read_text())

    def range(self, expression, start, end, step):
        """Series of an expression: labels, and points of time and value. Raises what Prometheus says of a wrong one."""
        query = urllib.parse.urlencode({"query": expression, "start": start, "end": end, "step": step})
        try:
            with urllib.request.urlopen(f"http://{self.address}/api/v1/query_range?{query}", timeout=PATIENCE) as answer:
                body = json.load(answer)
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{expression}: {json.load(error)['error']}") from None
        return [
            (
                series["metric"],
                [(moment, float(value)) for moment, value in series["values"] if math.isfinite(float(value))],
            )
            for series in body["data"]["result"]
        ]


def filled(expression, step):
    """The expression with the dashboard's variables as Grafana fills them in: all instances, four scrapes at least."""
    filled = expression.replace("$__rate_interval", f"{4 * step}s").replace("$instance", ".*")
    if "$" in filled:
        raise RuntimeError(f"{expression}: a variable that is not known here")
    return filled


def legend(form, labels):
    return re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda match: labels.get(match[1], ""), form)


def answers(dashboard, prometheus, start, end, step):
    """What the panels show: by the panel's number its series, each a name and its points."""
    result = {}
    for panel in dashboard["panels"]:
        series = []
        for target in panel.get("targets", []):
            for labels, points in prometheus.range(filled(target["expr"], step), start, end, step):
                if points:
                    series.append((legend(target["legendFormat"], labels), points))
        result[panel["id"]] = series
    return result
