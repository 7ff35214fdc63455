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
from .rows import judge, row
from .tools import BASELINE, BENCHMARKS, BUILD, ROOT, BenchError, clang, program, run, say

# Where a build's agent attaches: its egress guard, and its netfilter programs by the kernel's number of the place
# (0 PRE_ROUTING, 2 FORWARD).
PLACES = {"before": ("root", "0"), "now": ("kubepods", "02"), "empty": ("kubepods", "02"),
          "now-unguarded": ("kubepods", "-")}

# The rows: identifier, what it is, place, work, set that is compared with none, target as a ratio or as nanoseconds.
ROWS = [
    ("connect-host", "connect() of a host process to another machine", "host-device", "connect", "now", 1.015, None),
    ("connect-host-loopback", "connect() of a host process on the node's loopback", "host-loopback", "connect", "now", 1.03, None),
    ("connect-host-outside", "connect() of a process in a namespace of its own", "outside", "connect", "now", 1.015, None),
    ("connect-pod", "connect() of a pod to another address", "pod-device", "connect", "now", 1.045, None),
    ("connect-pod-unguarded", "the same without the node's netfilter guard", "pod-device", "connect", "now-unguarded", 1.03, None),
    ("send-host", "packet sent by a host process (sendto)", "host-device", "sendto", "now-unguarded", None, 20),
    ("send-pod", "packet sent by a pod on its loopback (sendto)", "pod-loopback", "sendto", "now-unguarded", None, 150),
    ("send-pod-device", "packet sent by a pod over a device (sendto)", "pod-device", "sendto", "now-unguarded", None, 150),
    ("send-pod-forwarded", "packet sent by a pod to another (sendto)", "pod-pod", "sendto", "now-unguarded", None, 150),
    ("bulk-host", "64 KiB sent by a host process", "host-device", "bulk", "now", None, None),
    ("ping-pong-pod", "64 bytes there and back, pod to pod", "pod-pod", "ping-pong", "now", None, None),
    ("cycle-host", "a whole connection of a host process", "host-device", "cycle", "now", None, None),
    ("getpeername-host", "getpeername() of a host process", "host-loopback", "getpeername", "now", None, None),
]

# Packets received in the node's namespace, where nothing else of a set takes part. What is judged is what the guard adds, by
# what programs that do nothing add: the same words, the place and the work, and the most that one may be of the other.
RECEIVED = [
    ("receive-node", "from a device (sendto)", "host-device-in", "sendto"),
    ("receive-node-connected", "from a device (connected send)", "host-device-in", "send"),
    ("receive-node-loopback", "on its loopback (sendto)", "host-loopback", "sendto"),
    ("receive-node-loopback-connected", "on its loopback (connected send)", "host-loopback", "send"),
]
RECEIVED_MOST = 1.15


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


def differences(sets, which):
    """What a set adds in each round."""
    return [a - b for a, b in zip(sets[which], sets["none"])]


def received_row(identifier, where, added, least):
    """A packet in the node's namespace: what the guard adds, and what programs that do nothing do, a value a round.

    One ratio, of the medians: a round's own difference may be nothing or less.
    """
    # Less than a nanosecond is the clock's.
    share = statistics.median(added) / max(statistics.median(least), 1)
    entry = row(identifier, f"packet received in the node's namespace, {where}: what the guard adds", "ns", added, better="lower",
                tolerance=0.25, target=f"<= {RECEIVED_MOST:.2f} x", reference="programs that do nothing",
                reference_values=least, ratios=[share])
    say(f"  {entry['what']}: x {share:.2f} {entry['target']}")
    return judge(entry, ratio_at_most=RECEIVED_MOST)


def bystander_rows(values):
    rows = []
    for identifier, what, place, work, which, ratio, most in ROWS:
        sets = values[place, work]
        added = statistics.median(differences(sets, which))
        target = f"<= {ratio:.3f} x" if ratio else f"<= {most} ns" if most else ""
        entry = row(identifier, what, "ns", sets[which], better="lower", tolerance=0.02, target=target,
                    reference="no hooks", reference_values=sets["none"])
        entry["added_ns"] = added
        entry["what"] += f" ({added:+.0f} ns)"
        # Programs that do nothing, at the places of the set: the price of any such design.
        if "empty" in sets and which == "now":
            entry["empty_ns"] = statistics.median(differences(sets, "empty"))
            entry["what"] += f", programs that do nothing: {entry['empty_ns']:+.0f} ns"
        if ratio:
            entry["met"] = entry["ratio"]["median"] <= ratio
        elif most:
            entry["met"] = added <= most
        if "before" in sets:
            entry["before_ns"] = statistics.median(differences(sets, "before"))
            entry["what"] += f", {BASELINE}: {entry['before_ns']:+.0f} ns"
        rows.append(entry)
        say(f"  {entry['what']}: x {entry['ratio']['median']:.3f} {target}")
    for identifier, where, place, work in RECEIVED:
        sets = values[place, work]
        rows.append(received_row(identifier, where, differences(sets, "now"), differences(sets, "empty")))
    return rows


def table(values):
    """What each set adds to each work at each place: for the results' file."""
    return [{"place": place, "work": work, "none_ns": statistics.median(sets["none"]),
             "added_ns": {name: statistics.median(differences(sets, name)) for name in sets if name != "none"}}
            for (place, work), sets in values.items()]


def bystander_figure(options):
    foreign = foreign_programs()
    if foreign:
        say(f"  note: {foreign} programs of others are attached to the cgroup root; both sides carry them")
    values = measured(options)
    return {"rows": bystander_rows(values), "foreign_programs": foreign, "table": table(values), "notes": []}
