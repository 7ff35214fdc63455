"""What every figure needs of the system: commands, packages, the programs of the load folder."""

import functools
import os
import shutil
import signal
import subprocess
import sys

BENCHMARKS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ROOT = os.path.dirname(BENCHMARKS)
BUILD = os.path.join(ROOT, ".build-bench")
# The build that the datapath is compared with: the last one that led connections out of the pod.
BASELINE = "2d21139"


class BenchError(Exception):
    """One sentence that says what is missing or wrong, and what to do."""


def say(text):
    """Progress goes to standard error, results to standard output."""
    print(text, file=sys.stderr, flush=True)


def run(*arguments, **options):
    """The standard output of a command that must succeed."""
    result = subprocess.run([str(word) for word in arguments], capture_output=True, text=True, **options)
    if result.returncode:
        words = (result.stderr or result.stdout).strip().splitlines()[-3:]
        command = " ".join(map(str, arguments[:6]))
        raise BenchError(f"'{command} ...' ended with {result.returncode}: {' / '.join(words)}")
    return result.stdout


def swift():
    """The program that SWIFT names, or else that of PATH; None without one."""
    return shutil.which(os.environ.get("SWIFT") or "swift")


@functools.cache
def programs():
    """The folder with what the nested package has built."""
    if not swift():
        raise BenchError("there is no swift, which builds the load generators: install it, or name it in SWIFT")
    build = [swift(), "build", "-c", "release", "--package-path", BENCHMARKS, "--scratch-path", BUILD]
    run(*build)
    return run(*build, "--show-bin-path").strip()


def clang():
    """The compiler of the kernel programs: Swift's own has the back end."""
    beside = os.path.join(os.path.dirname(os.path.realpath(swift() or "")), "clang")
    return beside if os.path.exists(beside) else "clang"


def program(name):
    """The path of a program of the load folder."""
    return os.path.join(programs(), name)


def go_first(pid="self"):
    """
    Lets the session of a process run before everything else: a machine that also builds something measures the build.
    Sessions share the processors group by group (sched_autogroup). The processes themselves stay as nice as pods and agents
    are: at -20 each wake-up interrupts what runs, which takes a new connection 1.3 context switches in place of 0.8.
    """
    try:
        with open(f"/proc/{pid}/autogroup", "w") as file:
            file.write("-20")
    except OSError:
        # A kernel without groups.
        os.setpriority(os.PRIO_PROCESS, 0 if pid == "self" else pid, -20)


def need_root():
    """Namespaces, cgroups and BPF are root's."""
    if os.geteuid() != 0:
        raise BenchError("the benchmarks make namespaces and cgroups and attach to the kernel: run them as root")


def need_tools():
    """The Debian packages with the load generator and the reference."""
    missing = [package for tool, package in (("wrk", "wrk"), ("nginx", "nginx-light"), ("curl", "curl"))
               if not shutil.which(tool)]
    if not missing:
        return
    try:
        run(os.path.join(ROOT, ".ci", "install"), *missing)
    except (BenchError, OSError) as error:
        names = " and ".join(missing)
        raise BenchError(f"the benchmarks need {names}, which could not be installed: {error}") from error
    for tool in ("wrk", "nginx"):
        if not shutil.which(tool):
            raise BenchError(f"{tool} is still missing after installing {' '.join(missing)}: install it by hand")


def ended_well(name, work):
    """Makes the machine ready, and works. Returns a status for `sys.exit`; the reason of another than 0 is on standard error."""
    # A terminated harness cleans up as an interrupted one does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        need_root()
        need_tools()
        go_first()
        work()
    except (BenchError, OSError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{name}: interrupted; everything was removed", file=sys.stderr)
        return 130
    return 0
