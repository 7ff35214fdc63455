"""What the kernel says about a process: time, memory, switches."""

import os

TICK = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pids):
    """User and system time of whole processes, threads that have ended included."""
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICK


def status(pid):
    """/proc/PID/status; sizes in bytes."""
    values = {}
    with open(f"/proc/{pid}/status") as file:
        for line in file:
            key, _, value = line.partition(":")
            words = value.split()
            if len(words) == 2 and words[1] == "kB":
                values[key] = int(words[0]) * 1024
            elif len(words) == 1 and words[0].isdigit():
                values[key] = int(words[0])
    return values


def switches(pid):
    """Context switches of each thread."""
    counts = {}
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/status") as file:
            counts[task] = sum(int(line.split()[1]) for line in file if "ctxt_switches" in line)
    return counts
