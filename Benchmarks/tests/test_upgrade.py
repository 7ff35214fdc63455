"""An upgrade's upstream calls by kind, its control, and the rows of both."""

import os
import subprocess
import sys
import unittest
import unittest.mock
from collections import Counter

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from harness import upgrade  # noqa: E402
from harness.stage import Stage  # noqa: E402

ACCOUNT = "/api/v1/namespaces/bench/serviceaccounts/impersonating"


def request(path, server="kubernetes", watch=False):
    return {"server": server, "method": "GET", "path": path, "watch": watch}


CALLS = {
    "TokenRequests": request(ACCOUNT + "/token"), "account reads": request(ACCOUNT), "pod lists": request("/api/v1/pods"),
    "watches": request("/api/v1/pods", watch=True), "node reads": request("/api/v1/nodes/node-a"),
    "events": request("/api/v1/namespaces/bench/events"), "others": request("/apis/authentication.k8s.io/v1/selfsubjectreviews"),
    "STS": request("/v1/token", "sts"), "IAM Credentials": request("/v1/projects/-/serviceAccounts/bench:generateAccessToken", "iam")}


class CallTests(unittest.TestCase):
    def test_each_call_has_its_kind(self):
        self.assertEqual({kind: upgrade.call_kind(call) for kind, call in CALLS.items()}, {kind: kind for kind in CALLS})

    def test_lists_and_watches_are_left_out_unless_everything_is_wanted(self):
        stage = Stage.__new__(Stage)
        with unittest.mock.patch.object(stage, "command", return_value=list(CALLS.values())):
            self.assertEqual(stage.take_upstream_requests(everything=True), list(CALLS.values()))
            kinds = {upgrade.call_kind(call) for call in stage.take_upstream_requests()}
        self.assertEqual(kinds, {"TokenRequests", "account reads", "STS", "IAM Credentials"})

    def test_kinds_are_medians_the_largest_first_without_those_that_are_rare(self):
        counts = [Counter({"STS": 110, "watches": 1}), Counter({"STS": 112, "watches": 1, "events": 5}), Counter({"STS": 111})]
        self.assertEqual(upgrade.by_kind(counts), "STS 111, watches 1")


class ControlTests(unittest.TestCase):
    def test_the_neutral_process_computes_and_ends(self):
        subprocess.run([sys.executable, "-c", upgrade.NEUTRAL, "0.001"], check=True)


class RowTests(unittest.TestCase):
    def rows(self, upgrades):
        values = {"cached": [200, 200], "replaced": [400, 400], "slowest": [2000, 3000], "lost": [0, 0], "beside": [1800, 2600]}
        starts = [Counter({"TokenRequests": 110, "STS": 110, "IAM Credentials": 110, "account reads": 3, "pod lists": 1, "watches": 1})]
        found = upgrade.rows_of({kind: values for kind in upgrade.KINDS}, [0.21, 0.19], upgrades, starts)
        return {entry["id"]: entry for entry in found}

    def test_the_control_stands_beside_what_it_explains(self):
        rows = self.rows([Counter(watches=1)])
        for key in ("upgrade-kept", "upgrade-new"):
            self.assertEqual(rows[f"{key}-slowest"]["ratio"]["median"], 12.5)
            self.assertFalse(rows[f"{key}-slowest"]["met"])
            self.assertEqual(rows[f"{key}-control"]["ratio"]["median"], 11)
            self.assertIsNone(rows[f"{key}-control"]["met"])
            self.assertTrue(rows[f"{key}-control"]["what"].endswith("as long as a start, 0.20 s"))

    def test_all_calls_are_counted_on_both_sides(self):
        rows = self.rows([Counter({"account reads": 3, "pod lists": 1, "watches": 1})] * 2)
        entry = rows["upgrade-all-calls"]
        self.assertTrue(entry["what"].endswith("all upstream calls (account reads 3, pod lists 1, watches 1)"))
        self.assertEqual((entry["median"], entry["reference"]["median"]), (5, 335))
        self.assertEqual(entry["reference"]["name"], "a start without a hand-over (IAM Credentials 110, STS 110, TokenRequests 110, "
                         "account reads 3, pod lists 1, watches 1)")
        self.assertAlmostEqual(entry["ratio"]["median"], 5 / 335)
        self.assertTrue(rows["upgrade-calls"]["met"])

    def test_one_call_for_a_token_misses(self):
        rows = self.rows([Counter(watches=1), Counter({"watches": 1, "STS": 1})])
        self.assertEqual(rows["upgrade-calls"]["high"], 1)
        self.assertFalse(rows["upgrade-calls"]["met"])


if __name__ == "__main__":
    unittest.main()
