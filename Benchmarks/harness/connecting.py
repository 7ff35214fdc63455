"""Figure 7: what the hooks cost those who have nothing to do with metadata."""

import statistics

from .bpfstats import program_costs
from .load import connects
from .machine import foreign_programs
from .rows import row
from .servers import Agent
from .tools import BenchError, say


def connect_figure(stage, agent_path, options):
    """connect() on loopback with and without the hooks, in turns; each round's two halves make one difference."""
    stage.set_pods(10)
    agent = Agent(stage, agent_path)
    places = {"host": None, "pod": stage.pods[0]}
    attached = {place: [] for place in places}
    detached = {place: [] for place in places}

    def measure(into):
        for place, pod in places.items():
            into[place].append(connects(options.connects, pod)["median_ns"])

    foreign = foreign_programs()
    if foreign:
        say(f"  note: {foreign} programs of others are attached to the cgroup root; both sides carry them")
    for number in range(options.connect_rounds):
        # With, without; without, with: neither is always the later one.
        if number % 2:
            measure(detached)
        agent.start()
        measure(attached)
        agent.stop()
        agent.uninstall()
        if number % 2 == 0:
            measure(detached)
    programs = breakdown(agent, options.connects)
    rows = []
    for place, what in (("host", "connect() of an unrelated process"),
                        ("pod", "connect() of a pod to another address")):
        added = [with_hooks - without for with_hooks, without in zip(attached[place], detached[place])]
        entry = row(f"connect-{place}", what, "ns", attached[place], reference="no hooks",
                    reference_values=detached[place], better="lower", tolerance=0.03,
                    target="<= 2 % and <= 200 ns")
        entry["added_ns"] = statistics.median(added)
        entry["what"] += f" ({entry['added_ns']:+.0f} ns)"
        entry["met"] = entry["ratio"]["median"] <= 1.02 and entry["added_ns"] <= 200
        rows.append(entry)
        say(f"  {what}: {entry['median']:.0f} ns, without {entry['reference']['median']:.0f} ns, "
            f"x {entry['ratio']['median']:.3f}")
    return {"rows": rows, "foreign_programs": foreign, "programs": programs, "notes": notes(programs)}


def breakdown(agent, count):
    """Which programs an unrelated connection runs, once the agent is back."""
    agent.start()
    try:
        return program_costs(lambda: connects(count), count)
    except (BenchError, OSError) as error:
        say(f"  note: the kernel does not tell what each program takes: {error}")
        return []
    finally:
        agent.stop()


def notes(programs):
    if not programs:
        return []
    words = ", ".join(f"{one['name']} {one['runs']:.1f} x {one['ns'] / one['runs']:.0f} ns" for one in programs[:8])
    return [f"Programs that one unrelated connection runs, both ends and its close (by the kernel's count): {words}."]
