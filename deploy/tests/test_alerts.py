"""The alerts as Prometheus evaluates them: promtool's unit tests, each of a fault that comes and of its absence."""
import pathlib
import subprocess
import tempfile
import unittest

import yaml

import manifests

RULES = manifests.DEPLOY / "observability/alerts.yaml"
PROMTOOL = manifests.DEPLOY.parent / ".build/deploy/bin/promtool"
NODE = {"instance": "10.0.0.1:9987"}


def series(name, values, **labels):
    text = ",".join(f'{key}="{value}"' for key, value in ({"job": "podidentd"} | NODE | labels).items())
    return {"series": f"{name}{{{text}}}", "values": values}


def case(alert, inputs, quiet, firing, summary, **labels):
    """A fault: the series of it, minutes at which nobody is called, and minutes at which somebody is, with the words."""
    return {"alert": alert, "inputs": inputs, "quiet": quiet, "firing": firing, "summary": summary, "labels": labels}


# The samples are a minute apart. 'a+bxn' is a value that grows by b, n times.
CASES = [
    case("PodidentdDown", [series("up", "1x4 0x10")], [4, 6], [7, 10],
         "podidentd on 10.0.0.1:9987 cannot be scraped.", job="podidentd"),
    # A restart of a minute calls nobody.
    case("PodidentdDown", [series("up", "1x4 0 1x10")], [4, 5, 7, 10], [], ""),
    case("PodidentdNotReady",
         [series("podidentd_ready", "1x4 0x10", condition="pods"), series("podidentd_ready", "1x20", condition="hooks")],
         [4, 6], [7, 10], "podidentd on 10.0.0.1:9987 is not ready (pods).", condition="pods"),
    case("PodidentdConnectionsDoNotArrive", [series("podidentd_pods_not_arriving", "0x4 3x10")], [4, 6], [7, 10],
         "Connections of 3 pods on 10.0.0.1:9987 are redirected to podidentd, and none arrives.", job="podidentd"),
    case("PodidentdNoHooks", [series("podidentd_hooks", "0x4 2x10", state="missing")], [4], [5, 10],
         "Kernel hooks are missing on 10.0.0.1:9987; pods may reach the machine's own metadata server.",
         job="podidentd", state="missing"),
    case("PodidentdNoHooks", [series("podidentd_hooks", "12x4 0x10", state="in_place")], [4], [5, 10],
         "Kernel hooks are missing on 10.0.0.1:9987; pods may reach the machine's own metadata server.",
         job="podidentd", state="in_place"),
    case("PodidentdWatchStale", [series("podidentd_pod_watch_silence_seconds", "5 30 60 5 65 125 185 245 305")],
         [3, 5, 6], [7], "The API server has shown podidentd on 10.0.0.1:9987 nothing for 245 s.", job="podidentd"),
    # Evaluation begins at the time 0: a certificate that ends after 80 minutes.
    case("PodidentdCredentialExpiring",
         [series("podidentd_node_credential_expiry_timestamp_seconds", "4800x60")], [20, 30], [31, 50],
         "The node's client certificate on 10.0.0.1:9987 ends within the hour and is not renewed.", job="podidentd"),
    # One that the kubelet renews in its last hour.
    case("PodidentdCredentialExpiring",
         [series("podidentd_node_credential_expiry_timestamp_seconds", "4800x25 90000x30")], [20, 26, 40], [], ""),
    case("PodidentdAttack",
         [series("podidentd_kernel_events_total", "0x4 1x20", event="dropped_egress"),
          series("podidentd_kernel_events_total", "0+100x25", event="redirected")],
         [4, 20], [5, 13], "The kernel guard on 10.0.0.1:9987 blocked packets to protected addresses (dropped_egress).",
         event="dropped_egress"),
    case("PodidentdRefusedIdentities",
         [series("podidentd_refusals_total", "0x4 0+5x10", reason="unknown_host"),
          series("podidentd_refusals_total", "0+100x20", reason="not_found")],
         [4, 6], [9, 14], "Requests are refused on 10.0.0.1:9987 that look like forgeries (unknown_host).",
         reason="unknown_host"),
    case("PodidentdUpstreamErrors",
         [series("podidentd_upstream_calls_total", "0+60x40", upstream="sts", result="success"),
          series("podidentd_upstream_calls_total", "0x5 0+60x35", upstream="sts", result="unavailable")],
         [5, 10], [14, 30], "More than a tenth of the calls of 10.0.0.1:9987 to sts fail.", upstream="sts"),
    # One call in twenty: a quota that is met now and then.
    case("PodidentdUpstreamErrors",
         [series("podidentd_upstream_calls_total", "0+57x40", upstream="iam", result="success"),
          series("podidentd_upstream_calls_total", "0+3x40", upstream="iam", result="rate_limited")],
         [10, 20, 30], [], ""),
    case("PodidentdUpstreamDenials",
         [series("podidentd_upstream_calls_total", "0x5 0+3x40", upstream="iam", result="denied")], [5, 10], [14, 30],
         "iam keeps saying no to 10.0.0.1:9987.", upstream="iam"),
    case("PodidentdTableFull",
         [series("podidentd_kernel_map_entries", "100 700 850 1000x10", map="pods"),
          series("podidentd_kernel_map_capacity", "1000x20", map="pods")],
         [0, 1], [2, 9], "A kernel table on 10.0.0.1:9987 is full or nearly so.", job="podidentd", map="pods"),
    case("PodidentdLimitsHit",
         [series("podidentd_limits_hit_total", "0x5 0+20x20", limit="connections"),
          series("podidentd_limits_hit_total", "0+500x25", limit="idle_timeout")],
         [5, 9], [13, 20], "Callers keep running into the limit connections on 10.0.0.1:9987.", limit="connections"),
    case("PodidentdRestartLoop", [series("process_start_time_seconds", "1x5 2 3 4 5 6x5")], [5, 8], [9, 13],
         "podidentd on 10.0.0.1:9987 restarts again and again.", job="podidentd"),
    # Three upgrades in a quarter of an hour.
    case("PodidentdRestartLoop", [series("process_start_time_seconds", "1x5 2x3 3x3 4x9")], [5, 10, 15, 20], [], ""),
    case("PodidentdAuditLost", [series("podidentd_audit_lines_total", "0x5 7x20", result="lost")], [5, 17], [6, 14],
         "Audit lines are lost on 10.0.0.1:9987.", job="podidentd", result="lost"),
]


class AlertTests(unittest.TestCase):
    def setUp(self):
        self.directory = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        rules = yaml.safe_load(RULES.read_text())["groups"][0]["rules"]
        self.rules = {rule["alert"]: rule for rule in rules}
        self.assertEqual(len(self.rules), len(rules))

    def promtool(self, *arguments):
        command = [str(PROMTOOL), *(str(argument) for argument in arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=120)

    def unit_test(self, case):
        rule = self.rules[case["alert"]]
        expected = {
            "exp_labels": rule["labels"] | NODE | case["labels"],
            "exp_annotations": rule["annotations"] | {"summary": case["summary"]},
        }
        times = [(minute, []) for minute in case["quiet"]] + [(minute, [expected]) for minute in case["firing"]]
        return {
            "interval": "1m",
            "input_series": case["inputs"],
            "alert_rule_test": [
                {"eval_time": f"{minute}m", "alertname": case["alert"], "exp_alerts": alerts} for minute, alerts in times
            ],
        }

    def run_cases(self, cases, rules=RULES):
        tests = {
            "rule_files": [str(rules)], "evaluation_interval": "1m", "tests": [self.unit_test(case) for case in cases],
        }
        path = self.directory / "tests.yaml"
        path.write_text(yaml.safe_dump(tests))
        return self.promtool("test", "rules", path)

    def test_prometheus_reads_the_rules(self):
        checked = self.promtool("check", "rules", RULES)
        self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)
        self.assertIn(f"{len(self.rules)} rules found", checked.stdout)

    def test_each_alert_is_raised_by_its_fault_and_by_nothing_less(self):
        result = self.run_cases(CASES)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    def test_every_alert_has_a_fault_and_a_time_without(self):
        self.assertEqual({case["alert"] for case in CASES if case["firing"] and case["quiet"]}, set(self.rules))

    def test_every_changed_rule_is_noticed(self):
        """Each rule in turn asks for a series that nobody has, then for nothing at all."""
        for alert in self.rules:
            for expression in ("absent_over_time(nothing[1m]) == 2", "vector(1) unless nothing"):
                groups = yaml.safe_load(RULES.read_text())
                (rule,) = [rule for rule in groups["groups"][0]["rules"] if rule["alert"] == alert]
                rule["expr"] = expression
                changed = self.directory / "changed.yaml"
                changed.write_text(yaml.safe_dump(groups))
                with self.subTest(alert, expression=expression):
                    result = self.run_cases([case for case in CASES if case["alert"] == alert], changed)
                    self.assertNotEqual(result.returncode, 0)
