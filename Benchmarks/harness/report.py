"""Results as Markdown."""

from .tools import BASELINE

TITLES = {
    "1": "Cached token, a connection for each request",
    "2": "Cached token, keep-alive",
    "3": "An idle machine",
    "4": "Many pods, many cgroups",
    "5": "A token that has to be fetched",
    "6": "Restart",
    "7": "Everybody else's connections",
    "8": "Footprint",
    "9": "Processor time",
}

CONNECTIONS = {"new": "a new connection for each request", "keep": "keep-alive"}

# Of figure 7: where the work is done, the work, and what is attached meanwhile.
PLACES = {
    "host-loopback": "host process, on the node's loopback",
    "host-device": "host process, over a device",
    "host-device-in": "host process elsewhere, over a device into the node",
    "outside": "process in a namespace of its own, on its loopback",
    "pod-loopback": "pod, on its loopback",
    "pod-device": "pod, over a device into the node",
    "pod-pod": "pod to pod, forwarded by the node",
}
WORKS = {
    "sendto": "datagram, `sendto()`", "send": "datagram, connected `send()`", "ping-pong": "64 bytes there and back",
    "bulk": "64 KiB", "connect": "`connect()`", "cycle": "a whole connection", "getpeername": "`getpeername()`",
}
SETS = {"now": "ours", "now-unguarded": "ours without netfilter's", "empty": "programs that do nothing", "before": BASELINE}


def number(value):
    """Three significant digits, and never less than the integer part."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}"


def span(entry):
    text = number(entry["median"])
    if entry["count"] > 1:
        text += f" ({number(entry['low'])} to {number(entry['high'])})"
    return text


def verdict(entry):
    if entry["met"] is None:
        return entry["target"] or ""
    return f"{entry['target']}: {'met' if entry['met'] else '**missed**'}"


def ratio(entry):
    if "ratio" not in entry:
        return ""
    values = entry["ratio"]
    # What is compared more narrowly is shown so.
    digits = 3 if entry["tolerance"] < 0.1 else 2
    text = f"{values['median']:.{digits}f}" if values["median"] < 10 else f"{values['median']:.0f}"
    if values["count"] > 1:
        text += f" ({values['low']:.{digits}f} to {values['high']:.{digits}f})"
    return text


def machine_line(machine):
    return (f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB, "
            f"{machine['virtualisation']}, Linux {machine['kernel']}; nginx {machine['nginx']}, wrk {machine['wrk']}")


def added(entry, name):
    """What a set of programs adds, and what that makes of the work."""
    if name not in entry["added_ns"]:
        return ""
    nanoseconds = entry["added_ns"][name]
    return f"{nanoseconds:+,.0f} ({1 + nanoseconds / entry['none_ns']:.3f})"


def bystanders(table):
    """Figure 7 in full: each work at each place."""
    lines = ["Figure 7, every work at every place: what programs add to one operation in nanoseconds, the median of the rounds' "
             "differences, and in brackets what that makes of it (no hooks: 1).", "",
             f"| place | work | no hooks | {' | '.join(SETS.values())} |", f"|---|---|---|{'---|' * len(SETS)}"]
    place = None
    for entry in table:
        where = "" if entry["place"] == place else PLACES[entry["place"]]
        place = entry["place"]
        cells = " | ".join(added(entry, name) for name in SETS)
        lines.append(f"| {where} | {WORKS[entry['work']]} | {entry['none_ns']:,.0f} ns | {cells} |")
    return [*lines, ""]


def markdown(results):
    """The table of everything, with the machine."""
    lines = [f"Machine: {machine_line(results['machine'])}.", "",
             "| | measured: median (range) | reference: median (range) | ratio (range) | target |",
             "|---|---|---|---|---|"]
    for key in sorted(results["figures"], key=int):
        lines.append(f"| **{key}. {TITLES[key]}** | | | | |")
        for entry in results["figures"][key]["rows"]:
            other = entry.get("reference")
            against = f"{other['name']}: {span(other)}" if other else ""
            lines.append(f"| {entry['what']} | {span(entry)} {entry['unit']} | {against} | {ratio(entry)} | "
                         f"{verdict(entry)} |")
    lines.append("")
    if table := results["figures"].get("7", {}).get("table"):
        lines += bystanders(table)
    for key in sorted(results["figures"], key=int):
        figure = results["figures"][key]
        lines += [f"- Figure {key}: {note}" for note in figure.get("notes", [])]
        for kind, profile in sorted(figure.get("profiles", {}).items()):
            words = ", ".join(f"`{name}` {share:.1%}" for name, share in profile["top"][:5])
            lines.append(f"- Figure {key}: where the agent's time goes, {CONNECTIONS.get(kind, kind)}: {words}.")
    busy = [f"{figure['others_percent']:.0f} % before {key}" for key, figure in sorted(results["figures"].items())
            if figure.get("others_percent", 0) > 5]
    if busy:
        lines.append(f"- Other work took this much of the machine: {', '.join(busy)}. The harness goes before it, but "
                     "caches, interrupts and the scheduler's slices are shared: latencies suffer most.")
    runs = {}
    for key, figure in sorted(results["figures"].items()):
        for run in (figure, *(entry["of"] for entry in figure["rows"] if "of" in entry)):
            figures = runs.setdefault((run["date"], run["agent"]["sha256"], run["mode"]), [])
            figures += [key] if key not in figures else []
    lines += ["", "Measured: " + "; ".join(f"{', '.join(figures)} on {date} (agent {digest or 'unknown'}, {mode})"
                                           for (date, digest, mode), figures in sorted(runs.items())) + "."]
    return "\n".join(lines) + "\n"
