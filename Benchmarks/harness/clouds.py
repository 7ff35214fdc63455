"""AWS and Azure beside Google: cached credentials, session tokens, memory of clouds that nobody uses, cold credentials."""

import json
import os
import re
import statistics
import subprocess
import tempfile
import time

from .load import METADATA, TOKEN
from .process import status
from .rows import judge, row
from .servers import Agent
from .tools import ROOT, BenchError, run, say

ROLES = "/latest/meta-data/iam/security-credentials"
AZURE = "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https://storage.azure.com"
SECONDS = "X-aws-ec2-metadata-token-ttl-seconds: 21600"
MEGA = 1e6
COLD_PODS = 250
SDK = os.path.join(ROOT, ".build", "clients", "go-aws-v2")


class Clouds:
    """A stage whose pods have an identity in three clouds."""

    def __init__(self, stage, agent_path):
        self.stage = stage
        self.google = stage.node["configuration"]
        answer = stage.command("clouds")
        self.all, self.role = answer["configuration"], answer["role"]
        self.agent = Agent(stage, agent_path)

    def start(self, configuration):
        self.stage.node["configuration"] = configuration
        self.agent.start()

    def curl(self, pod, path, *headers, method="GET"):
        words = ["curl", "-sSf", "-X", method]
        for header in headers:
            words += ["-H", header]
        return run(*self.stage.inside_pod(pod, [*words, METADATA + path]))

    def session_token(self, pod):
        return self.curl(pod, "/latest/api/token", SECONDS, method="PUT")


def length(clouds, pod, path, header):
    """The bytes of an answer, head and body."""
    written = run(*clouds.stage.inside_pod(
        pod, ["curl", "-sSf", "-o", "/dev/null", "-w", "%{size_header} %{size_download}", "-H", "Connection: close", "-H", header,
              METADATA + path]))
    return sum(map(int, written.split()))


def rate(stage, pod, path, seconds, *headers, method="GET"):
    """Requests a second, each on a connection of its own."""
    words = ["wrk", "-t2", "-c32", f"-d{seconds}s", "-H", "Connection: close"]
    for header in headers:
        words += ["-H", header]
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(f'wrk.method = "{method}"\n')
        script.flush()
        output = run(*stage.inside_pod(pod, [*words, "-s", script.name, METADATA + path]))
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
    if failed:
        raise BenchError(f"{path} was answered {failed[1]} times with an error")
    return float(re.search(r"Requests/sec:\s+([\d.]+)", output)[1])


def cached_rows(clouds, rounds, seconds):
    """
    In each round all take turns, each time from another one on. Google's token is there twice: as the lab makes it, and with
    an answer as long as Azure's, which shows what of a difference is the number of bytes alone.
    """
    stage = clouds.stage
    pod, other = stage.set_pods(10)[:2]
    for one in (pod, other):
        stage.free_ports(one)
    clouds.start(clouds.all)
    try:
        token = clouds.session_token(pod)
        flavor, header = "Metadata-Flavor: Google", f"X-aws-ec2-metadata-token: {token}"
        requests = {
            "google": (pod, TOKEN, flavor),
            "aws": (pod, f"{ROLES}/{clouds.role}", header),
            "azure": (pod, AZURE, "Metadata: true"),
            "put": (pod, "/latest/api/token", SECONDS),
            "long": (other, TOKEN, flavor),
        }
        lengths = {name: length(clouds, *requests[name]) for name in ("google", "aws", "azure")}
        token = json.loads(clouds.curl(pod, TOKEN, flavor))["access_token"]
        stage.set_token_length(len(token) + lengths["azure"] - lengths["google"])
        lengths["long"] = length(clouds, *requests["long"])
        say("  bytes: " + "   ".join(f"{name} {count}" for name, count in lengths.items()))
        # But for the digits of its own length.
        if abs(lengths["long"] - lengths["azure"]) > 2:
            raise BenchError(f"Google's long answer has {lengths['long']} bytes, and Azure's {lengths['azure']}")
        rates = {name: [] for name in requests}
        names = list(requests)
        for number in range(rounds):
            first = number % len(names)
            for name in names[first:] + names[:first]:
                caller, path, one = requests[name]
                rates[name].append(rate(stage, caller, path, seconds, one, method="PUT" if name == "put" else "GET"))
            say("  " + "   ".join(f"{name} {rates[name][-1]:8.0f}/s" for name in names))
    finally:
        clouds.agent.stop()
    rows = [
        judge(row(f"cached-{name}", f"{what}, new connection", "requests/s", rates[name], reference="Google's token",
                  reference_values=rates["google"], target=f">= {least} x Google's token"), ratio_at_least=least)
        for name, what, least in (
            ("aws", f"cached AWS credential ({lengths['aws']} bytes)", 0.95),
            ("azure", f"cached Azure token ({lengths['azure']} bytes)", 0.95),
            ("put", "IMDSv2 session token (PUT)", 0.9))]
    long = f"Google's token of {lengths['long']} bytes"
    return rows + [
        row("cached-long", f"{long}, new connection", "requests/s", rates["long"],
            reference=f"the same of {lengths['google']} bytes", reference_values=rates["google"]),
        judge(row("cached-azure-long", "cached Azure token, new connection", "requests/s", rates["azure"], reference=long,
                  reference_values=rates["long"], target=">= 0.95 x it"), ratio_at_least=0.95),
    ]


def memory_rows(clouds, rounds, wait):
    """Resident memory once the start is over, with one cloud and with three of which none is used."""
    clouds.stage.set_pods(1)
    resident = {"google": [], "all": []}
    for number in range(rounds):
        for name in ("google", "all") if number % 2 == 0 else ("all", "google"):
            clouds.start(clouds.google if name == "google" else clouds.all)
            time.sleep(wait)
            resident[name].append(status(clouds.agent.pid)["VmRSS"] / MEGA)
            clouds.agent.stop()
        say(f"  resident: Google alone {resident['google'][-1]:.2f} MB, three clouds {resident['all'][-1]:.2f} MB")
    more = statistics.median(resident["all"]) - statistics.median(resident["google"])
    return [
        row("memory-three", "resident memory, three clouds on, none used", "MB", resident["all"], better="lower",
            reference="Google alone", reference_values=resident["google"]),
        judge(row("memory-more", "that is more by", "MB", [more], better="lower", target="<= 1 MB"), at_most=1),
    ]


def cold_rows(clouds, count, delay):
    """
    Credentials of pods that have none yet: the AWS SDK for Go, version 2, in each pod, with its own time limits and without a
    second try.
    """
    if not os.path.exists(SDK):
        raise BenchError("the AWS SDK for Go is not built: run 'bash .ci/setup-clients all'")
    stage = clouds.stage
    times, first = [], 0
    while len(times) < count:
        stage.set_pods(1)
        pods = stage.set_pods(1 + min(COLD_PODS, count - len(times)))[1:]
        clouds.start(clouds.all)
        # One pod opens the connections to the upstreams.
        clouds.curl(stage.pods[0], f"{ROLES}/{clouds.role}", f"X-aws-ec2-metadata-token: {clouds.session_token(stage.pods[0])}")
        stage.set_delay(delay)
        for pod in pods:
            result = subprocess.run(stage.inside_pod(pod, [SDK, "cold"]), capture_output=True, text=True, check=False)
            answer = json.loads(result.stdout or "{}")
            first += bool(answer.get("first"))
            times.append(answer.get("milliseconds", 0.0))
            if not answer.get("first"):
                say(f"  not at the first try: {result.stdout} {result.stderr}")
        stage.set_delay(0)
        clouds.agent.stop()
        say(f"  {first} of {len(times)} at the first try, median {statistics.median(times):.1f} ms, "
            f"most {max(times):.1f} ms")
    share = row("cold-first", f"cold AWS credential, upstreams of {delay} ms, aws-sdk-go-v2: at the first try, of {count}",
                "pods", [first], target=f"{count}")
    share["met"] = first == count
    ordered = sorted(times)
    return [share] + [
        row(f"cold-{name}", f"the same: until the SDK has the credential, {what}", "ms", [value], better="lower")
        for name, what, value in (("median", "median", statistics.median(times)),
                                  ("p99", "99th percentile", ordered[int(len(ordered) * 0.99) - 1]),
                                  ("most", "most", ordered[-1]))]
