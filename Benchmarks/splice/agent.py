"""The agent itself, unchanged, in its own lab: the programs are attached beside its own.

Shows that tokens come through, that its guards and its system call filters do not mind,
and where a token's bytes can be seen. Speed is worth a look with release builds only.

    agent.py [DIRECTORY]    of podidentd and podidentd-lab; .build/debug
"""

import json
import re
import shlex
import statistics
import subprocess
import sys
from pathlib import Path

from capture import Capture, summary
from harness import MB, tcp_memory
from lab import Loader, cgroup_root, enter_namespace

URL = "http://169.254.169.254/computeMetadata/v1/instance/service-accounts/default/token"
AGENT = ("10.88.0.1", 9254)
# Nothing connects there: the agent's own programs redirect.
NO_ADDRESS = "240.0.0.1"
MODES = ("off", "answers", "both")
ROUNDS = 7


def start_lab(directory):
    """The lab's demo, left running (its lines unbuffered), and the words that enter a pod."""
    lab = subprocess.Popen(["stdbuf", "-oL", directory / "podidentd-lab", "demo", "--keep"], stdout=subprocess.PIPE,
                           stderr=subprocess.DEVNULL, text=True)
    enter = None
    for line in lab.stdout:
        if line.strip().startswith("sh -c"):
            enter = shlex.split(line)[:-1]
        if "Ctrl-C ends" in line:
            return lab, enter
    sys.exit("splice: the lab did not start; build it first (make build)")


def load(enter, *options):
    output = subprocess.run([*enter, "wrk", "-t1", "-c32", "-d1s", "-H", "Metadata-Flavor: Google", *options, URL],
                            stdout=subprocess.PIPE, text=True, check=True).stdout
    bad = re.findall(r"(?:Non-2xx|Socket errors).*", output)
    return float(re.search(r"Requests/sec:\s*([0-9.]+)", output)[1]), bad


def figure(kind, values, reference):
    ratio = statistics.median(a / b for a, b in zip(values, reference))
    return f"{kind} {statistics.median(values):,.0f}/s ({min(values):,.0f} to {max(values):,.0f}, {ratio:.2f} x)"


def captured(enter, mark, loader):
    namespaces = [path.name for path in Path("/var/run/netns").iterdir() if path.name.startswith("nidlab")]
    places = {name: lambda name=name: enter_namespace(name) for name in namespaces}
    places["machine"] = lambda: None
    capture = Capture(places, {"answers": mark, "requests": b"service-accounts/default/token"})
    for _ in range(50):
        body = subprocess.run([*enter, "curl", "-s", "-H", "Metadata-Flavor: Google", URL],
                              stdout=subprocess.PIPE, check=True).stdout
        assert mark in body, "another token"
    return summary(capture.stop())


GREEDY = """
import select, socket, sys, time
connection = socket.create_connection(("169.254.169.254", 80))
connection.setblocking(False)
request = (b"GET /computeMetadata/v1/instance/service-accounts/default/token HTTP/1.1\\r\\n"
           b"Host: metadata.google.internal\\r\\nMetadata-Flavor: Google\\r\\n\\r\\n")
data, sent, end = request * 1000, 0, time.monotonic() + 5
while time.monotonic() < end and sent < 256 << 20:
    if not select.select([], [connection], [], 0.5)[1]:
        break
    try:
        count = connection.send(data)
    except OSError:
        break
    sent += count
    data = data[count:] + data[:count]
print(sent // len(request), flush=True)
sys.stdin.read()
"""


def greedy(enter, mode):
    """A pod that asks for up to five seconds (or 256 MB) and reads nothing: who stops it?"""
    before = tcp_memory()
    pod = subprocess.Popen([*enter, "python3", "-c", GREEDY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    asked = int(pod.stdout.readline())
    held = (tcp_memory() - before) / MB
    pod.stdin.close()
    pod.wait()
    print(f"{mode:8} asked {asked:,} times without reading: the kernel holds {held:.1f} MB", flush=True)


def main():
    lab, enter = start_lab(Path(sys.argv[1] if len(sys.argv) > 1 else ".build/debug").absolute())
    loader = Loader(cgroup_root(), AGENT, NO_ADDRESS)
    try:
        body = subprocess.run([*enter, "curl", "-s", "-H", "Metadata-Flavor: Google", URL],
                              stdout=subprocess.PIPE, check=True).stdout
        mark = json.loads(body)["access_token"][-40:].encode()
        for mode in MODES:
            loader.tell(f"mode {mode}")
            loader.tell("counters")
            seen = captured(enter, mark, loader)
            print(f"{mode:8} 50 tokens fetched; frames with token bytes: {seen['answers']}, with request bytes: "
                  f"{seen['requests']}; {loader.tell('counters')}", flush=True)
        rates = {mode: {"keep-alive": [], "new": []} for mode in MODES}
        for number in range(ROUNDS + 1):
            for turn in range(len(MODES)):
                mode = MODES[(turn + number) % len(MODES)]
                loader.tell(f"mode {mode}")
                for kind, options in (("keep-alive", ()), ("new", ("-H", "Connection: close"))):
                    rate, bad = load(enter, *options)
                    rates[mode][kind].append(rate)
                    if bad:
                        print(f"{mode:8} {kind}: {bad}", flush=True)
        # The first round warms up.
        for mode in MODES:
            print(f"{mode:8} " + ", ".join(figure(kind, values[1:], rates["off"][kind][1:])
                                           for kind, values in rates[mode].items()))
        for mode in MODES:
            loader.tell(f"mode {mode}")
            greedy(enter, mode)
    finally:
        loader.stop()
        lab.terminate()
        lab.stdout.read()
        lab.wait(30)


if __name__ == "__main__":
    main()
