"""Speed, with and without the splice, taken in turns: the machine's mood is the same for all."""

import json
import socket
import statistics
import time
from pathlib import Path

from lab import FOLDER, METADATA, SERVER

MODES = ("off", "answers", "both")
NGINX = "/usr/sbin/nginx"
# name, server, client's load, connections, seconds
LOADS = (
    ("keep-alive", "bare", "keepalive", 32, 0.9),
    ("new connections", "bare", "new", 8, 0.9),
    ("one request", "bare", "single", 1, 0.5),
    ("nginx, keep-alive", "nginx", "keepalive", 32, 0.9),
    ("nginx, new connections", "nginx", "new", 8, 0.9),
)
FIGURES = (
    ("keep-alive requests/s, 32 connections", "keep-alive", "rate"),
    ("new connections/s, 8 at a time", "new connections", "rate"),
    ("new connection, p50, µs", "new connections", "p50"),
    ("one request at a time, p50, µs", "one request", "p50"),
    ("one request at a time, p99, µs", "one request", "p99"),
    ("keep-alive, CPU of both processes, µs/request", "keep-alive", "cost"),
    ("new connection, CPU of both processes, µs", "new connections", "cost"),
    ("nginx: keep-alive requests/s, 32 connections", "nginx, keep-alive", "rate"),
    ("nginx: new connections/s, 8 at a time", "nginx, new connections", "rate"),
    ("nginx: keep-alive, CPU of both processes, µs/request", "nginx, keep-alive", "cost"),
    ("nginx: new connection, CPU of both processes, µs", "nginx, new connections", "cost"),
)


def start_nginx(lab):
    """The same bodies from a server that people run."""
    folder = FOLDER / "build/nginx"
    folder.mkdir(exist_ok=True)
    (folder / "nginx.conf").write_text(f"""
daemon off; worker_processes 1; pid {folder}/pid; error_log /dev/null emerg;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 100000000; default_type application/json;
  client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
  uwsgi_temp_path {folder}; scgi_temp_path {folder};
  server {{
    listen {SERVER[0]}:{SERVER[1]} backlog=4096;
    location ~ ^/token/([0-9]+)$ {{
      add_header Metadata-Flavor Google;
      return 200 '{{"access_token":"SPLICE-TOKEN{"$1-token" * 64}"}}';
    }}
  }}
}}
""")
    nginx = lab.start("server", NGINX, "-c", folder / "nginx.conf")
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(SERVER) == 0:
                return nginx
    raise RuntimeError("nginx does not listen")


def stop(server):
    server.terminate()
    server.wait()


def server_cpu(lab):
    """Seconds of processor time that the server's cgroup has used."""
    text = (lab.cgroup / "server/cpu.stat").read_text()
    return int(text.split("usage_usec")[1].split()[0]) / 1e6


def load(lab, kind, connections, amount):
    before = server_cpu(lab)
    client = lab.start("pod", FOLDER / "build/client", kind, *METADATA, connections, amount)
    output = client.communicate()[0]
    if client.returncode:
        raise RuntimeError(f"client {kind}: exit code {client.returncode}")
    sample = json.loads(output)
    sample["rate"] = sample["requests"] / sample["seconds"]
    sample["cost"] = (sample["cpu"] + server_cpu(lab) - before) / sample["requests"] * 1e6
    if sample["wrong"]:
        raise RuntimeError(f"{sample['wrong']} answers with wrong bytes")
    return sample


def rounds(lab, count):
    """Samples by load and mode; the order of the modes rotates."""
    has_nginx = Path(NGINX).exists()
    loads = [load for load in LOADS if has_nginx or load[1] != "nginx"]
    samples = {name: {mode: [] for mode in MODES} for name, *_ in loads}
    for number in range(count + 1):
        for name, server_name, kind, connections, seconds in loads:
            server = start_nginx(lab) if server_name == "nginx" else lab.start_server()
            for turn in range(len(MODES)):
                mode = MODES[(turn + number) % len(MODES)]
                lab.tell(f"mode {mode}")
                sample = load(lab, kind, connections, seconds if number else 0.2)
                # The first round warms up.
                if number:
                    samples[name][mode].append(sample)
            stop(server)
    return samples


def figures(samples):
    """Medians, ranges, and the median of the ratios to `off` in the same round."""
    rows = []
    for title, name, field in FIGURES:
        if name not in samples:
            continue
        row = {"title": title}
        reference = [sample[field] for sample in samples[name]["off"]]
        for mode in MODES:
            values = [sample[field] for sample in samples[name][mode]]
            row[mode] = {"median": statistics.median(values), "low": min(values), "high": max(values),
                         "ratio": statistics.median(a / b for a, b in zip(values, reference))}
        rows.append(row)
    return rows


def table(rows):
    def number(value):
        return f"{value:,.0f}" if value >= 1000 else f"{value:.1f}"

    lines = ["| | off | answers | ratio | both | ratio |", "| --- | --- | --- | --- | --- | --- |"]
    for row in rows:
        cells = [row["title"]]
        for mode in MODES:
            value = row[mode]
            cells.append(f"{number(value['median'])} ({number(value['low'])} to {number(value['high'])})")
            if mode != "off":
                cells.append(f"{value['ratio']:.2f}")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def million(lab, mode, requests=1_000_000):
    """Every byte of every answer is compared by the client."""
    server = lab.start_server()
    lab.tell(f"mode {mode}")
    lab.tell("counters")
    sample = load(lab, "keepalive", 32, f"={requests}")
    stop(server)
    return {"mode": mode, "requests": sample["requests"], "wrong": sample["wrong"], "seconds": sample["seconds"],
            **lab.tell("counters")}
