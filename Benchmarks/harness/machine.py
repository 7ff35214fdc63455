"""Where the figures were measured."""

import hashlib
import os
import platform
import re
import subprocess
import time


def _first(pattern, text):
    found = re.search(pattern, text, re.MULTILINE)
    return found[1].strip() if found else "unknown"


def _output(*words):
    try:
        result = subprocess.run(words, capture_output=True, text=True, check=False)
        return result.stdout + result.stderr
    except OSError:
        return ""


def describe():
    """Processor, memory, kernel and the versions of what takes part."""
    with open("/proc/cpuinfo") as file:
        processor = _first(r"^model name\s*:\s*(.*)", file.read())
    with open("/proc/meminfo") as file:
        memory = int(_first(r"^MemTotal:\s*(\d+)", file.read())) / 1048576
    virtual = _first(r"^Hypervisor vendor:\s*(.*)", _output("lscpu"))
    return {
        "processor": processor,
        "cores": os.cpu_count(),
        "memory_gib": round(memory, 1),
        "virtualisation": "no hypervisor" if virtual == "unknown" else virtual,
        "kernel": platform.release(),
        "nginx": _first(r"nginx/(\S+)", _output("nginx", "-v")),
        "wrk": _first(r"^wrk (?:debian/)?(\S+)", _output("wrk", "-v")),
    }


def busy_percent(seconds=1.0):
    """What others take of all processors, while nothing of ours runs: a busy machine measures itself."""
    def read():
        with open("/proc/stat") as file:
            fields = [int(word) for word in file.readline().split()[1:9]]
        return sum(fields), fields[3] + fields[4]

    total, idle = read()
    time.sleep(seconds)
    total_after, idle_after = read()
    return 100 * (1 - (idle_after - idle) / max(1, total_after - total))


def foreign_programs():
    """Programs that others have attached to the root of the cgroup hierarchy: they slow the reference too."""
    mounts = open("/proc/self/mounts").read()
    root = _first(r"^\S+ (\S+) cgroup2 ", mounts)
    output = _output("bpftool", "cgroup", "show", root)
    return max(0, len([line for line in output.splitlines() if line.strip() and not line.startswith("ID")]))


def describe_agent(executable):
    """Which binary it was."""
    with open(executable, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else ""
    return {"version": _output(executable, "version").strip(), "sha256": digest[:16],
            "bytes": os.path.getsize(executable)}
