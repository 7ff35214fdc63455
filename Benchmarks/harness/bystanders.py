"""Figure 7: what the kernel programs cost those who have nothing to do with metadata.

The programs themselves are attached and detached, without an agent, as that build's agent attaches them; beside them
programs that do nothing at the same places, which are the least that any such design costs.
"""

import json
import os
import shutil
import statistics

from .ground import Ground
from .machine import foreign_programs
from .rows import row
from .tools import BASELINE, BENCHMARKS, BUILD, ROOT, BenchError, clang, program, run, say

# Where a build's agent attaches: its egress guard, and its netfilter programs by the kernel's number of the place
# (0 PRE_ROUTING, 2 FORWARD).
PLACES = {"before": ("root", "0"), "now": ("kubepods", "02"), "empty": ("kubepods", "02"),
          "now-unguarded": ("kubepods", "-")}

# The rows: identifier, what it is, place, work, set, compared with, target as a ratio or as nanoseconds, in words.
ROWS = [
    ("connect-host", "connect() of a host process to another machine", "host-device", "connect", "now", "none", 1.015, None),
    ("connect-host-loopback", "connect() of a host process on the node's loopback", "host-loopback", "connect", "now",
     "none", 1.03, None),
    ("connect-host-outside", "connect() of a process in a namespace of its own", "outside", "connect", "now", "none",
     1.015, None),
    ("connect-pod", "connect() of a pod to another address", "pod-device", "connect", "now", "none", 1.045, None),
    ("connect-pod-unguarded", "the same without the node's netfilter guard", "pod-device", "connect", "now-unguarded",
     "none", 1.03, None),
    ("send-host", "packet sent by a host process (sendto)", "host-device", "sendto", "now-unguarded", "none", None, 20),
    ("send-pod", "packet sent by a pod (sendto)", "pod-loopback", "sendto", "now-unguarded", "none", None, 150),
    ("receive-node", "packet received in the node's namespace, the guard's part", "host-device-in", "sendto", "now",
     "empty", 1.015, None),
    ("bulk-host", "64 KiB sent by a host process", "host-device", "bulk", "now", "none", None, None),
    ("ping-pong-pod", "64 bytes there and back, pod to pod", "pod-pod", "ping-pong", "now", "none", None, None),
    ("cycle-host", "a whole connection of a host process", "host-device", "cycle", "now", "none", None, None),
]


def places(ground):
    """Who works where: name, cgroup, network, its peer's network and address."""
    net = ground.network
    return [
        ("host-loopback", ground.host, net("node"), net("node"), "127.0.0.1"),
        ("host-device", ground.host, net("node"), net("pod1"), "10.99.1.2"),
        ("host-device-in", ground.host, net("pod3"), net("node"), "10.99.3.1"),
        ("outside", ground.host, net("pod3"), net("pod3"), "127.0.0.1"),
        ("pod-loopback", ground.pod, net("pod1"), net("pod1"), "127.0.0.1"),
        ("pod-device", ground.pod, net("pod1"), net("node"), "10.99.1.1"),
        ("pod-pod", ground.pod, net("pod1"), net("pod2"), "10.99.2.2"),
    ]


def compiled(directory, revision=None):
    """A folder with the objects of this tree, or of a commit; None: the commit is not here (a shallow clone)."""
    os.makedirs(directory, exist_ok=True)
    source = os.path.join(ROOT, "bpf")
    if revision:
        tree = directory + ".tree"
        shutil.rmtree(tree, ignore_errors=True)
        os.makedirs(tree)
        try:
            archive = os.path.join(directory, "source.tar")
            run(os.path.join(ROOT, ".ci/git"), "archive", "-o", archive, revision, "bpf")
            run("tar", "-xf", archive, "-C", tree)
        except BenchError:
            say(f"  note: the commit {revision} is not in this clone: nothing is compared with it")
            return None
        source = os.path.join(tree, "bpf")
    skeletons = directory + ".skeletons"
    # Skeletons of an earlier run are newer than the sources of a commit, and make would keep them.
    shutil.rmtree(skeletons, ignore_errors=True)
    run("make", "-C", source, f"SKELETONS={skeletons}", f"TEST_SKELETONS={skeletons}")
    shutil.rmtree(directory)
    os.makedirs(directory)
    for name in os.listdir(os.path.join(source, "build")):
        # A build may have left the object of a program that is no more.
        if name.endswith(".bpf.o") and os.path.exists(os.path.join(source, name.removesuffix("o") + "c")):
            shutil.copy(os.path.join(source, "build", name), directory)
    return directory


def empty_programs(directory):
    os.makedirs(directory, exist_ok=True)
    source = os.path.join(BENCHMARKS, "load", "hooks", "empty.bpf.c")
    run(clang(), "-g", "-O2", "-mcpu=v3", "-target", "bpf", "-isystem", f"/usr/include/{os.uname().machine}-linux-gnu",
        "-c", source, "-o", os.path.join(directory, "empty.bpf.o"))
    return directory


def measured(options):
    """Nanoseconds of one operation by (place, work) and set, a value a round."""
    now = compiled(f"{BUILD}/hooks/now")
    directories = {"before": compiled(f"{BUILD}/hooks/before", BASELINE), "now": now, "now-unguarded": now,
                   "empty": empty_programs(f"{BUILD}/hooks/empty")}
    values = {}
    with Ground() as ground:
        words = [program("hooks"), "--root", ground.root, "--kubepods", f"{ground.kubepods}:{ground.kubepods_level}",
                 "--node", ground.network("node"), "--rounds", options.connect_rounds, "--ms", options.connect_ms]
        for place in places(ground):
            words += ["--place", ":".join(place)]
        for name, directory in directories.items():
            if directory:
                words += ["--set", ":".join((name, directory) + PLACES[name])]
        for line in run(*words).splitlines():
            entry = json.loads(line)
            values[entry["place"], entry["work"]] = entry["values"]
    return values


def bystander_rows(values):
    rows = []
    for identifier, what, place, work, which, reference, ratio, most in ROWS:
        sets = values[place, work]
        added = statistics.median(a - b for a, b in zip(sets[which], sets[reference]))
        target = f"<= {ratio:.3f} x" if ratio else f"<= {most} ns" if most else ""
        entry = row(identifier, what, "ns", sets[which], better="lower", tolerance=0.02, target=target,
                    reference="no hooks" if reference == "none" else "programs that do nothing",
                    reference_values=sets[reference])
        entry["added_ns"] = added
        entry["what"] += f" ({added:+.0f} ns)"
        # Programs that do nothing, at the places of the set: the price of any such design.
        if reference == "none" and "empty" in sets and which == "now":
            entry["empty_ns"] = statistics.median(a - b for a, b in zip(sets["empty"], sets["none"]))
            entry["what"] += f", programs that do nothing: {entry['empty_ns']:+.0f} ns"
        if ratio:
            entry["met"] = entry["ratio"]["median"] <= ratio
        elif most:
            entry["met"] = added <= most
        if "before" in sets and reference == "none":
            entry["before_ns"] = statistics.median(a - b for a, b in zip(sets["before"], sets["none"]))
            entry["what"] += f", {BASELINE}: {entry['before_ns']:+.0f} ns"
        rows.append(entry)
        say(f"  {entry['what']}: x {entry['ratio']['median']:.3f} {target}")
    return rows


def table(values):
    """What each set adds to each work at each place: for the results' file."""
    return [{"place": place, "work": work, "none_ns": statistics.median(sets["none"]),
             "added_ns": {name: statistics.median(a - b for a, b in zip(samples, sets["none"]))
                          for name, samples in sets.items() if name != "none"}}
            for (place, work), sets in values.items()]


def bystander_figure(options):
    foreign = foreign_programs()
    if foreign:
        say(f"  note: {foreign} programs of others are attached to the cgroup root; both sides carry them")
    values = measured(options)
    return {"rows": bystander_rows(values), "foreign_programs": foreign, "table": table(values), "notes": []}
