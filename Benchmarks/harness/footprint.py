"""Figure 8: memory with 0, 110 and 500 pods of two tokens each, the binary, and what an idle agent takes."""

import json
import os
import shutil
import tarfile
import tempfile
import time

from .load import IDENTITY, TOKEN, visit
from .process import cpu_seconds, status, switches
from .rows import judge, row
from .servers import Agent, Before
from .tools import ROOT, BenchError, program, run, say

MEGA = 1e6
LIMITS = {0: 25, 110: 29, 500: 45}
NAMESPACES = (250, 1000)
# In seconds. The agent then lets go what only its start needed.
START_UP = 17


def footprint_figure(stage, agent_path, options):
    """Memory is read when the start is over and every pod has asked, before and after; idle time with 110 pods."""
    agent = Agent(stage, agent_path)
    rows, memory = [], {}
    for count, limit in LIMITS.items():
        if count > options.most_pods:
            continue
        resident, before = [], []
        for _ in range(options.memory_rounds):
            started(agent, count)
            values = status(agent.pid)
            resident.append(values["VmRSS"] / MEGA)
            memory[str(count)] = {"resident": values["VmRSS"], "anonymous": values["RssAnon"],
                                  "file": values["RssFile"], "peak": values["VmHWM"], "threads": values["Threads"]}
            if count == 110 and "idle" not in memory:
                memory["idle"] = idle(agent.pid, options.idle_for)
            agent.stop()
            if options.before:
                before.append(resident_before(options.before, agent, count))
        anonymous = memory[str(count)]["anonymous"] / MEGA
        say(f"  {count} pods: {resident[-1]:.1f} MB resident, {anonymous:.1f} of it anonymous")
        what = f"resident memory, {count} pods, {anonymous:.1f} MB of it anonymous"
        rows.append(judge(row(f"memory-{count}", what, "MB", resident, better="lower", target=f"<= {limit} MB", tolerance=0.1,
                              reference=Before.name, reference_values=before, compare=resident[-1]), at_most=limit))
    rows += binary_rows(agent_path)
    rest = memory.get("idle")
    if rest:
        say(f"  idle: {rest['cpu_percent']:.3f} % of a core, {rest['switches']:.1f} context switches/s")
        rows.append(judge(row("idle-cpu", f"idle for {rest['seconds']:.0f} s with 110 pods: processor", "% of a core",
                              [rest["cpu_percent"]], better="lower", target="<= 0.1 %"), at_most=0.1))
        rows.append(row("idle-switches", "idle: context switches", "1/s", [rest["switches"]], better="lower",
                        tolerance=0.5, compare=rest["switches"]))
    return {"rows": rows + listener_rows(), "memory": memory}


def started(agent, count):
    """Starts the agent beside so many pods, and returns when every one has had two tokens at its start and after it."""
    agent.stage.set_pods(max(count, 1))
    agent.start()
    for wait in (0, START_UP):
        time.sleep(wait)
        visits = visit(agent.stage.pods, [TOKEN, IDENTITY]) if count else []
        if any(one["statuses"] != [200, 200] for one in visits):
            raise BenchError(f"not every pod got two tokens: {[one['statuses'] for one in visits][:3]}...")


def resident_before(tree, rival, count):
    """The resident memory of the build before, in MB, with as many pods on a node of its own."""
    agent = Before(tree, rival)
    try:
        started(agent, count)
        megabytes = status(agent.pid)["VmRSS"] / MEGA
        agent.stop()
    finally:
        agent.close()
    say(f"  {count} pods: {megabytes:.1f} MB with {agent.name}")
    return megabytes


def idle(pid, seconds):
    """What the agent takes when nobody asks."""
    time.sleep(3)  # what the visits have set off ends first
    begin, cpu, before = time.monotonic(), cpu_seconds([pid]), switches(pid)
    time.sleep(seconds)
    spent = time.monotonic() - begin
    # What a thread did that has ended meanwhile is not known any more; there are few.
    count = sum(value - before.get(task, 0) for task, value in switches(pid).items())
    return {"seconds": spent, "cpu_percent": (cpu_seconds([pid]) - cpu) / spent * 100, "switches": count / spent}


def binary_rows(agent_path):
    """Size as built, and as an image would hold it."""
    rows = [row("binary", "binary, as built", "MB", [os.path.getsize(agent_path) / MEGA], better="lower", tolerance=0.1,
                compare=os.path.getsize(agent_path))]
    strip = shutil.which("llvm-strip") or shutil.which("strip")
    if strip:
        with tempfile.TemporaryDirectory() as directory:
            target = os.path.join(directory, "stripped")
            run(strip, "-o", target, agent_path)
            size = os.path.getsize(target)
        rows.append(row("binary-stripped", "binary, stripped", "MB", [size / MEGA], better="lower", tolerance=0.1,
                        compare=size))
    return rows + image_rows(f"{ROOT}/.build/image/podidentd.oci.tar")


def image_rows(archive):
    """The image of `make image`, if it was built: its layers' files, and what a registry gets."""
    if not os.path.exists(archive):
        return []
    with tarfile.open(archive) as file:
        blobs = {member.name: member.size for member in file if member.name.startswith("blobs/") and member.isfile()}
        unpacked = sum(layer_size(file, name) for name in blobs)
    sizes = (("image", "image, unpacked", unpacked), ("image-compressed", "image, compressed", sum(blobs.values())))
    return [row(key, what, "MB", [size / MEGA], better="lower", tolerance=0.1, compare=size)
            for key, what, size in sizes]


def layer_size(archive, name):
    """The bytes of the files in a layer; 0 for a blob that is no layer, such as the configuration."""
    try:
        with tarfile.open(fileobj=archive.extractfile(name)) as layer:
            return sum(member.size for member in layer if member.isfile())
    except tarfile.ReadError:
        return 0


def listener_rows():
    """The kernel's part of a listener in each of many namespaces: two sockets each, as the agent has them."""
    rows = []
    for count in NAMESPACES:
        one = json.loads(run(program("listeners"), "--count", count))
        kilobytes = one["kernel_kib"] * 1.024 / count
        what = f"kernel memory of the listener in each of {count} namespaces (opened in {one['open_us']:.0f} us)"
        rows.append(judge(row(f"listener-{count}", what, "kB", [kilobytes], better="lower", tolerance=0.5,
                              target="<= 10 kB", compare=kilobytes), at_most=10))
        say(f"  {what}: {kilobytes:.1f} kB")
    return rows
