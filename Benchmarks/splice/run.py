"""The whole experiment: `run.py [measure] [capture] [million] [break]`; nothing named: all."""

import json
import os
import sys
import time
from pathlib import Path

import break_it
import measure
from capture import Capture, summary
from lab import FOLDER, METADATA, Lab

PHASES = ("measure", "capture", "million", "break")
ROUNDS = 5


def say(text=""):
    print(text, flush=True)


def machine():
    model = next((line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), "unknown processor")
    return {"kernel": os.uname().release, "processor": model, "cpus": os.cpu_count()}


def run_capture(lab):
    """500 requests on 4 connections and 500 on connections of their own, per mode."""
    say("\nFrames with an answer's or a request's bytes, all devices of the host and the pod\n")
    say("| mode | requests | frames | with answer bytes | with request bytes | lost by the capture |")
    say("| --- | --- | --- | --- | --- | --- |")
    server = lab.start_server()
    rows = {}
    for mode in measure.MODES:
        lab.tell(f"mode {mode}")
        capture = Capture({"host": lambda: None, "pod": lab.enter_namespace})
        asked = 0
        for kind in ("keepalive", "new"):
            client = lab.start("pod", FOLDER / "build/client", kind, *METADATA, 4, "=500")
            asked += json.loads(client.communicate()[0])["requests"]
        found = capture.stop()
        seen = summary(found)
        rows[mode] = {"asked": asked, "devices": {side: data["devices"] for side, data in found.items()}, **seen}
        say(f"| {mode} | {asked} | {seen['frames']} | {seen['answers']} | {seen['requests']} | {seen['lost']} |")
    measure.stop(server)
    return rows


def run_measure(lab):
    say(f"\nMedians and ranges of {ROUNDS} rounds; ratios: median of the rounds' ratios to `off`\n")
    samples = measure.rounds(lab, ROUNDS)
    rows = measure.figures(samples)
    say(measure.table(rows))
    return rows


def run_million(lab):
    say()
    rows = [measure.million(lab, mode) for mode in ("answers", "both")]
    for row in rows:
        say(f"{row['mode']}: {row['requests']:,} requests, {row['wrong']} wrong, {row['seconds']:.1f} s, "
            f"{row['answers_spliced']:,} answers and {row['requests_spliced']:,} requests spliced")
    return rows


def run_break(lab):
    say("\nCases (`!`: differs from TCP)\n")
    rows = break_it.run(lab, say)
    left = lab.tell("entries")["entries"]
    say(f"\n{len(rows)} cases; spliced connections differ from TCP in "
        f"{sum(bool(set(row['differs']) - {'naive'}) for row in rows)}; sockets left in the maps: {left}")
    return rows


def main():
    phases = sys.argv[1:] or PHASES
    if set(phases) - set(PHASES):
        sys.exit(f"usage: run.py [{'] ['.join(PHASES)}]")
    if os.geteuid():
        sys.exit("splice: needs root: it loads kernel programs and makes namespaces")
    began = time.monotonic()
    results = {"machine": machine()}
    say("Machine: {kernel}, {processor}, {cpus} CPUs".format(**results["machine"]))
    functions = {"measure": run_measure, "capture": run_capture, "million": run_million, "break": run_break}
    with Lab() as lab:
        for phase in PHASES:
            if phase in phases:
                results[phase] = functions[phase](lab)
    say(f"\n{time.monotonic() - began:.0f} s")
    (FOLDER / "build/results.json").write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
