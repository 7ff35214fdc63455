"""Figure 9's other half: where the agent's processor time goes, by perf, as a flame graph and its top entries."""

import os
import shutil
import subprocess
from collections import Counter

from .flame import flame_graph
from .load import TOKEN, visit
from .servers import Agent
from .tools import BenchError, run, say, swift

SECONDS = 4


def profile_figure(stage, agent_path, results, pictures):
    """Adds the most expensive functions to figure 9 and draws flame graphs; without perf it leaves them out."""
    figure = dict(results["figures"].get("9", {"rows": []}))
    if not shutil.which("perf"):
        say("  there is no perf here (Debian: linux-perf): the profile is left out")
        return {"9": figure}
    stage.set_pods(10)
    agent = Agent(stage, agent_path)
    agent.start()
    visit(stage.pods[:1], [TOKEN], retry=True)
    try:
        profiles = {kind: record(stage, agent, kind == "keep") for kind in ("new", "keep")}
    finally:
        agent.stop()
    os.makedirs(pictures, exist_ok=True)
    for kind, profile in profiles.items():
        # Stacks are a megabyte: the picture stays, they do not.
        stacks = profile.pop("stacks")
        if stacks:
            with open(os.path.join(pictures, f"flame-{kind}.svg"), "w") as file:
                file.write(flame_graph(stacks, kind))
    figure["profiles"] = profiles
    for kind, profile in figure["profiles"].items():
        for name, share in profile["top"][:5]:
            say(f"  {kind:5} {share:5.1%} {name}")
    return {"9": figure}


def record(stage, agent, keep_alive):
    """Samples the agent while it is under full load."""
    path = os.path.join(stage.node["directory"], "perf.data")
    load = subprocess.Popen(
        stage.inside_pod(stage.pods[0], [
            "wrk", "-t2", "-c32", f"-d{SECONDS + 2}s", "-H", "Metadata-Flavor: Google",
            *([] if keep_alive else ["-H", "Connection: close"]), "http://169.254.169.254" + TOKEN]),
        stdout=subprocess.DEVNULL)
    try:
        run("perf", "record", "-q", "-F", "499", "-g", "-o", path, "-p", agent.pid, "--", "sleep", SECONDS)
    except BenchError as error:
        say(f"  perf could not record: {error}")
        return {"top": [], "stacks": []}
    finally:
        load.wait()
    stacks, leaves = fold(demangle(run("perf", "script", "-i", path, "-F", "comm,ip,sym")))
    total = sum(leaves.values()) or 1
    return {"top": [[name, count / total] for name, count in leaves.most_common(15)],
            "stacks": [[";".join(stack), count] for stack, count in stacks.items()], "samples": total}


def demangle(text):
    """Swift's names as one reads them, if there is a toolchain."""
    if not swift():
        return text
    return run(swift(), "demangle", "--compact", "--simplified", input=text)


def fold(text):
    """Counts stacks, outermost first, and their innermost functions."""
    stacks, leaves = Counter(), Counter()
    frames = []

    def finish():
        if frames:
            stacks[tuple(reversed(frames))] += 1
            leaves[frames[0]] += 1
        frames.clear()

    for line in text.splitlines():
        if not line.strip():
            finish()
        elif line[0].isspace():
            words = line.split(maxsplit=1)
            frames.append(words[1].strip() if len(words) > 1 else "[unknown]")
    finish()
    return stacks, leaves
