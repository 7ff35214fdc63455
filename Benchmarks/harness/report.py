"""Results as Markdown."""

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


def number(value):
    """Three significant digits, and never less than the integer part."""
    if value >= 1000:
        return f"{value:,.0f}"
    if value >= 100:
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
    text = f"{values['median']:.2f}" if values["median"] < 10 else f"{values['median']:.0f}"
    if values["count"] > 1:
        text += f" ({values['low']:.2f} to {values['high']:.2f})"
    return text


def machine_line(machine):
    return (f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB, "
            f"{machine['virtualisation']}, Linux {machine['kernel']}; nginx {machine['nginx']}, wrk {machine['wrk']}")


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
