"""What `.ci/cluster` changes on the machine that its node runs on, and takes back: groups, folders, and the kernel's settings."""

import ctypes
import errno
import fcntl
import json
import os
import pathlib
import signal
import sys
import time

GROUP = "podidentd-cluster"
# Folders that a node writes to; it sees others in their places.
FOLDERS = ["/etc/kubernetes", "/etc/cni", "/opt/cni", "/run", "/var/lib/kubelet", "/var/lib/containerd", "/var/lib/cni",
           "/var/log", "/usr/libexec/kubernetes"]
# A kubelet sets these for the whole machine.
TUNABLES = ["vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops", "kernel/keys/root_maxkeys",
            "kernel/keys/root_maxbytes"]
SETTINGS = pathlib.Path("/proc/sys")
# A lock of the whole machine: the node's groups have one name, wherever this repository is checked out.
LOCK = pathlib.Path("/run/lock/podidentd-cluster")
BOOT = pathlib.Path("/proc/sys/kernel/random/boot_id")


def lock():
    """Has this machine for this run alone. Returns what holds it while it is open."""
    LOCK.parent.mkdir(parents=True, exist_ok=True)
    try:
        # Everybody may write to the folder: a link there is not followed.
        file = open(LOCK, "r+", opener=lambda name, flags: os.open(name, flags | os.O_CREAT | os.O_NOFOLLOW, 0o600))
    except OSError as error:
        sys.exit(f"cluster: {LOCK} cannot be opened: {error.strerror}")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        sys.exit("cluster: another run of this is under way on this machine")
    return file


def groups():
    """The folder of the node's group in each hierarchy of this machine."""
    for line in pathlib.Path("/proc/self/mounts").read_text().splitlines():
        _, place, kind, *_ = line.split()
        if kind in ("cgroup", "cgroup2"):
            yield pathlib.Path(place) / GROUP


def join():
    """In the process that becomes the node: enters its groups, and ends with this script, however that ends."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)    # PR_SET_PDEATHSIG
    for group in groups():
        group.mkdir(exist_ok=True)
        for name in ("cpuset.cpus", "cpuset.mems"):
            if (group / name).exists():
                (group / name).write_text((group.parent / name).read_text())
        (group / "cgroup.procs").write_text(str(os.getpid()))


def remove(group):
    """Removes a group and those below it, as soon as their last processes have ended."""
    end = time.monotonic() + 60
    for directory, _, _ in os.walk(group, topdown=False):
        while True:
            try:
                os.rmdir(directory)
                break
            except FileNotFoundError:
                break
            except OSError as error:
                if time.monotonic() > end:
                    sys.exit(f"cluster: {directory} cannot be removed: {error.strerror}")
                time.sleep(0.1)


def change(file):
    """Makes the folders that are missing, and writes into the file what `undo` takes back."""
    made = [name for name in FOLDERS if not os.path.exists(name)]
    kept = {name: place.read_text() for name in TUNABLES if (place := SETTINGS / name).exists()}
    # Under its name it is complete.
    part = file.with_suffix(".part")
    part.write_text(json.dumps({"boot": BOOT.read_text(), "folders": made, "tunables": kept}))
    part.rename(file)
    for name in made:
        os.makedirs(name)


def undo(file):
    """Takes back what a run has changed: this one, or one that was killed since the machine was booted."""
    if not file.exists():
        return
    changed = json.loads(file.read_text())
    # A boot ends groups and resets the kernel's settings. By then the folders may be another program's.
    if changed.get("boot") == BOOT.read_text():
        for group in groups():
            remove(group)
        for name, text in changed["tunables"].items():
            (SETTINGS / name).write_text(text)
        for name in changed["folders"]:
            try:
                os.rmdir(name)
            except OSError as error:
                # Another program has removed it, or uses it by now.
                if error.errno not in (errno.ENOENT, errno.ENOTEMPTY):
                    raise
    file.unlink()
