"""The load generators, run inside pods, and what they said as dictionaries."""

import json
import re
import subprocess

from .tools import BenchError, program, run

METADATA = "http://169.254.169.254"
TOKEN = "/computeMetadata/v1/instance/service-accounts/default/token"
IDENTITY = "/computeMetadata/v1/instance/service-accounts/default/identity?audience=https://bench.example"


def wrk(stage, pod, path, seconds, keep_alive, connections=32, procs=None):
    """As many requests as go through; a closed loop, so its latencies are not reported."""
    words = ["wrk", "-t2", f"-c{connections}", f"-d{seconds}s", "-H", "Metadata-Flavor: Google"]
    if not keep_alive:
        words += ["-H", "Connection: close"]
    output = run(*stage.inside_pod(pod, words + [METADATA + path], procs))
    found = re.search(r"Requests/sec:\s+([\d.]+)", output)
    total = re.search(r"(\d+) requests in", output)
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
    if not found or not total:
        raise BenchError(f"wrk said nothing usable: {output!r}")
    # Without keep-alive wrk counts a connection that the server closes after its answer as a read error.
    lost = re.search(r"Socket errors: connect (\d+), read \d+, write \d+, timeout (\d+)", output)
    return {"rate": float(found[1]), "requests": int(total[1]), "failed": int(failed[1]) if failed else 0,
            "lost": int(lost[1]) + int(lost[2]) if lost else 0}


def open_load(pod, path, rate, seconds, keep_alive, connections=32, procs=None):
    """A fixed rate; latencies count from when each request was due."""
    return json.loads(run(*load_words(pod, path, rate, seconds, keep_alive, connections, procs)))


def start_load(pod, path, rate, seconds, keep_alive=False, connections=256):
    """The same, in the background."""
    words = load_words(pod, path, rate, seconds, keep_alive, connections)
    return subprocess.Popen(words, text=True, stdout=subprocess.PIPE)


def load_words(pod, path, rate, seconds, keep_alive, connections, procs=None):
    """The command of a load at a fixed rate."""
    return [program("load"), "--rate", f"{rate:.0f}", "--seconds", str(seconds), "--path", path, "--connections",
            str(connections), "--cgroup", procs or pod["procs"], "--network", pod["network"],
            *(["--keep-alive"] if keep_alive else [])]


def visit(pods, paths, together=False, retry=False, procs=None):
    """One process in each pod asks for each path once."""
    words = [program("visit")] + ["--together"] * together + ["--retry"] * retry
    for path in paths:
        words += ["--path", path]
    lines = "".join(f"{procs or pod['procs']} {pod['network']}\n" for pod in pods)
    return [json.loads(line) for line in run(*words, input=lines).splitlines()]


def start_visit(pod, path):
    """A visitor that asks until it is answered, started in the background."""
    process = subprocess.Popen([program("visit"), "--retry", "--path", path], text=True, stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE)
    process.stdin.write(f"{pod['procs']} {pod['network']}\n")
    process.stdin.close()
    return process
