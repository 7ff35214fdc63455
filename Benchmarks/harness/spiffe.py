"""The SPIFFE endpoint and the signer: cached answers beside references, memory of open streams, signatures."""

import base64
import json
import os
import re
import signal
import subprocess
import tempfile
import time

from .footprint import LIMITS, START_UP
from .load import TOKEN, wrk
from .process import status
from .rows import judge, row
from .servers import Agent
from .tools import ROOT, BenchError, run, say

BARE = os.path.join(ROOT, ".build", "clients", "go-spiffe-bare")
BARE_PORT = 9999
# The client ends each stream by a reset: a new connection from time to time, as servers have limits on these.
CALLS_OF_A_CONNECTION = 190
TOKEN_CONNECTIONS = 8
# Megabytes that streams may add to what an agent with 110 pods may have without them.
STREAMS_MEMORY = 10
MEGA = 1e6
TICKS = os.sysconf("SC_CLK_TCK")


class Spiffe:
    """A stage with a signer, and an agent that serves the endpoint."""

    def __init__(self, stage, agent_path, lab):
        self.stage = stage
        self.lab = lab
        self.signer = stage.command("spiffe")
        stage.node["configuration"] = self.signer["configuration"]
        self.agent = Agent(stage, agent_path)

    def end(self):
        """Ends the signer, which outlives the stage."""
        try:
            os.kill(self.signer["pid"], signal.SIGTERM)
        except ProcessLookupError:
            pass

    def rate(self, pod, method, seconds, *words):
        """Calls a second of two clients, each on one kept connection after the other: one client would be the limit."""
        command = self.stage.inside_pod(pod, [
            self.lab, "workload-load", "--method", method, "--calls", "100000000", "--seconds", str(seconds), "--width", "16",
            "--per-connection", str(CALLS_OF_A_CONNECTION), *words])
        clients = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
        reports = [json.loads(client.communicate()[0] or "{}") for client in clients]
        if any(report.get("failed", 1) or report["wrong"] for report in reports):
            raise BenchError(f"{method}: {reports}")
        return sum(report["calls"] / report["seconds"] for report in reports)

    def token_rate(self, pod, seconds):
        """The same of FetchJWTSVID for one audience, by h2load: 32 calls at a time, as wrk has 32 connections."""
        with tempfile.NamedTemporaryFile() as body:
            body.write(b"\0\0\0\0\x06\x0a\x04load")
            body.flush()
            output = run(*self.stage.inside_pod(pod, [
                "h2load", f"-D{seconds}", "--warm-up-time=0", f"-c{TOKEN_CONNECTIONS}", f"-m{32 // TOKEN_CONNECTIONS}", "-t1",
                f"--data={body.name}", "-H", "content-type: application/grpc", "-H", "te: trailers",
                "-H", "workload.spiffe.io: true", "http://169.254.169.254:9256/SpiffeWorkloadAPI/FetchJWTSVID"]))
        found = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored", output)
        data = re.search(r"traffic: .* (?:headers )?.*\((\d+)\) data", output)
        if not found or int(found[2]) + int(found[3]) or not data:
            raise BenchError(f"FetchJWTSVID: {output}")
        # An answer without a token has status 200 as well, and no data.
        if int(data[1]) < int(found[1]) * 300:
            raise BenchError(f"FetchJWTSVID: {found[1]} answers of {data[1]} bytes in all are no tokens")
        return int(found[1]) / seconds

    def message(self, pod):
        """The bytes of the answer that the bare server gives too."""

        answer = json.loads(run(*self.stage.inside_pod(pod, [self.lab, "workload"])))
        return base64.b64decode(answer["messages"][0])


def processor_seconds(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def cached_rows(spiffe, rounds, seconds):
    """Certificates beside a bare server of the same bytes; tokens beside the metadata token on kept connections."""
    if not os.path.exists(BARE):
        raise BenchError("the bare server is not built: run 'bash .ci/setup-clients'")
    pod = spiffe.stage.set_pods(1)[0]
    spiffe.agent.start()
    rates = {name: [] for name in ("svid", "bare", "jwt", "metadata")}
    cost = {name: [] for name in ("svid", "bare", "jwt", "metadata")}
    with tempfile.NamedTemporaryFile() as answer:
        answer.write(spiffe.message(pod))
        answer.flush()
        bare = spiffe.stage.start(spiffe.stage.inside_pod(pod, [BARE, f"127.0.0.1:{BARE_PORT}", answer.name]),
                                  stdout=subprocess.PIPE)
        bare.stdout.readline()
        scenes = {
            "svid": (spiffe.agent.pid, lambda: spiffe.rate(pod, "FetchX509SVID", seconds)),
            "bare": (bare.pid, lambda: spiffe.rate(pod, "FetchX509SVID", seconds, "--address", "127.0.0.1", "--port",
                                                   str(BARE_PORT))),
            "jwt": (spiffe.agent.pid, lambda: spiffe.token_rate(pod, seconds)),
            "metadata": (spiffe.agent.pid, lambda: wrk(spiffe.stage, pod, TOKEN, seconds, True)["rate"]),
        }
        for name, (_, measure) in scenes.items():
            measure()
        names = list(scenes)
        for number in range(rounds):
            for name in names[number % 4:] + names[:number % 4]:
                pid, measure = scenes[name]
                before = processor_seconds(pid)
                rates[name].append(measure())
                cost[name].append((processor_seconds(pid) - before) / (rates[name][-1] * seconds) * 1e6)
            say("  " + "   ".join(f"{name} {rates[name][-1]:7.0f}/s {cost[name][-1]:5.1f} us" for name in names))
        bare.kill()
    spiffe.agent.stop()
    return [
        judge(row("svid", "FetchX509SVID, cached, two clients, 190 calls to a connection, 32 at a time", "calls/s", rates["svid"],
                  reference="grpc-go with the same bytes", reference_values=rates["bare"], target=">= 1.0 x grpc-go"),
              ratio_at_least=1.0),
        judge(row("jwt", "FetchJWTSVID, cached, kept connections, 32 at a time (h2load)", "calls/s", rates["jwt"],
                  reference="metadata token, 32 kept connections (wrk)", reference_values=rates["metadata"],
                  target=">= 0.8 x the metadata token"), ratio_at_least=0.8),
        row("svid-cost", "the server's processor time of a FetchX509SVID", "us", cost["svid"], better="lower",
            reference="grpc-go", reference_values=cost["bare"]),
        row("jwt-cost", "the agent's processor time of a FetchJWTSVID", "us", cost["jwt"], better="lower",
            reference="metadata token", reference_values=cost["metadata"]),
    ]


def memory_rows(spiffe, pods, wait):
    """Resident memory with as many pods, with one stream each, and with 31 more in each of ten."""
    spiffe.stage.set_pods(pods)
    spiffe.agent.start()
    # What only the start needed is given back then.
    time.sleep(START_UP + wait)
    plain = status(spiffe.agent.pid)

    def hold(some, streams):
        return [spiffe.stage.start(
            spiffe.stage.inside_pod(pod, [spiffe.lab, "workload-load", "--method", "FetchX509SVID", "--hold", "--calls",
                                          str(streams), "--width", str(streams), "--seconds", "120"]),
            stdout=subprocess.DEVNULL) for pod in some]

    def streams():
        text = run(*spiffe.stage.inside_node(["curl", "-s", "http://127.0.0.1:9255/metrics"]))
        return int(float(next(line.split()[-1] for line in text.splitlines()
                              if line.startswith("podidentd_spiffe_held") and "streams" in line)))

    def held(wanted, rest=0):
        deadline = time.monotonic() + 60
        while streams() < wanted:
            if time.monotonic() > deadline:
                raise BenchError(f"{streams()} of {wanted} streams are open")
            time.sleep(0.2)
        time.sleep(rest + wait)
        return status(spiffe.agent.pid)

    first = hold(spiffe.stage.pods, 1)
    # What only the issuing of certificates needed is given back at the second look after it.
    one = held(pods, rest=2 * START_UP)
    more = hold(spiffe.stage.pods[:10], 31)
    many = held(pods + 310)
    for process in first + more:
        process.kill()
        process.wait()
    spiffe.agent.stop()
    own = {name: values["RssAnon"] for name, values in (("plain", plain), ("one", one), ("many", many))}
    total, limit = one["VmRSS"] / MEGA, LIMITS[110] + STREAMS_MEMORY
    say(f"  {pods} pods: {plain['VmRSS'] / MEGA:.1f} MB (anonymous {own['plain'] / MEGA:.1f}), a stream each {total:.1f} MB "
        f"({own['one'] / MEGA:.1f}), 310 streams more {many['VmRSS'] / MEGA:.1f} MB ({own['many'] / MEGA:.1f})")
    return [
        row("memory-plain", f"resident memory, {pods} pods, no stream, once the start's pages are given back", "MB",
            [plain["VmRSS"] / MEGA], better="lower"),
        judge(row("memory-streams", "the same with a stream in each, its connection, key and certificate", "MB", [total],
                  better="lower", target=f"<= {limit} MB ({LIMITS[110]} + {STREAMS_MEMORY})"), at_most=limit),
        row("memory-pod", "anonymous memory that each such pod adds", "KB", [(own["one"] - own["plain"]) / pods / 1e3],
            better="lower"),
        judge(row("memory-stream", "anonymous memory of one more stream", "KB", [max(own["many"] - own["one"], 0) / 310 / 1e3],
                  better="lower", target="<= 20 KB"), at_most=20),
    ]


def signer_rows(spiffe, seconds, threads):
    """Exchanges of one signer process, certificate and token each, whose TokenReviews the lab's API server answers."""
    pods = spiffe.stage.set_pods(threads)
    tokens = [spiffe.stage.command("token", name=pod["name"]) for pod in pods]
    with tempfile.TemporaryDirectory() as folder:
        run("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
            f"{folder}/key", "-subj", "/", "-outform", "DER", "-out", f"{folder}/csr")

        with open(f"{folder}/csr", "rb") as file:
            csr = base64.b64encode(file.read()).decode()
    script = os.path.join(ROOT, "Benchmarks", "harness", "exchange_load.py")
    words = ["python3", script, spiffe.signer["signer"], spiffe.signer["authority"], str(seconds)]
    before = processor_seconds(spiffe.signer["pid"])
    output = run(*spiffe.stage.inside_node(words), input=json.dumps({"csr": csr, "tokens": tokens}))
    used = processor_seconds(spiffe.signer["pid"]) - before
    report = json.loads(output)
    if report["failed"]:
        raise BenchError(f"exchanges failed: {report}")
    per_core = report["count"] / used if used else 0
    say(f"  {report['count']} exchanges in {seconds} s, {per_core:.0f} a core second, p99 {report['p99']:.1f} ms")
    return [
        judge(row("signer-core", "signatures (certificates) of one signer process a second of processor time", "/s",
                  [per_core], target=">= 300"), at_least=300),
        row("signer-rate", f"the same a second of time, {threads} nodes at once, all on two cores", "/s",
            [report["count"] / seconds]),
        judge(row("signer-p99", "99th percentile of an exchange then", "ms", [report["p99"]], better="lower",
                  target="<= 50 ms"), at_most=50),
    ]
