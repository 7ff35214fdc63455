"""One line of the table: what was measured, against what, and whether the target is met."""

import statistics


def summary(values):
    """Median and range."""
    return {"median": statistics.median(values), "low": min(values), "high": max(values), "count": len(values)}


def row(identifier, what, unit, values, *, reference=None, reference_values=None, ratios=None, target="",
        met=None, better="higher", tolerance=0.15, compare=None):
    """
    `ratios` are the rounds' own (value / reference), so that a machine that slows down between rounds does not show;
    their median is what two runs are compared by, unless `compare` gives a number that no machine's speed moves.
    """
    result = {"id": identifier, "what": what, "unit": unit, **summary(values), "better": better,
              "tolerance": tolerance, "target": target, "met": met}
    if reference_values:
        result["reference"] = {"name": reference, **summary(reference_values)}
        ratios = ratios or [value / other for value, other in zip(values, reference_values) if other]
    if ratios:
        result["ratio"] = summary(ratios)
    result["compare"] = compare if compare is not None else (result["ratio"]["median"] if ratios else None)
    return result


def judge(result, *, ratio_at_least=None, ratio_at_most=None, at_most=None, at_least=None):
    """Sets whether the row's medians meet the target."""
    met = True
    if ratio_at_least is not None:
        met = met and result["ratio"]["median"] >= ratio_at_least
    if ratio_at_most is not None:
        met = met and result["ratio"]["median"] <= ratio_at_most
    if at_most is not None:
        met = met and result["median"] <= at_most
    if at_least is not None:
        met = met and result["median"] >= at_least
    result["met"] = met
    return result


def merged(old, new):
    """A figure of which some rows were measured again: the others stay, each with the run that it is of."""
    if not old:
        return new
    fresh = {entry["id"] for entry in new["rows"]}
    run = {key: old[key] for key in ("date", "agent", "mode")}
    stayed = [{**entry, "of": entry.get("of", run)} for entry in old["rows"] if entry["id"] not in fresh]
    return {**new, "rows": new["rows"] + stayed}


def regressions(old, new):
    """Rows that are worse than the committed ones by more than their tolerance, as sentences."""
    before = {entry["id"]: entry for entry in all_rows(old)}
    worse = []
    for entry in all_rows(new):
        last = before.get(entry["id"])
        if not last or not last.get("compare") or entry.get("compare") is None:
            continue
        change = entry["compare"] / last["compare"] - 1
        loss = -change if entry["better"] == "higher" else change
        if loss > entry["tolerance"]:
            kind = "ratio" if "ratio" in entry else "value"
            worse.append(
                f"{entry['what']}: {kind} {last['compare']:.3g} -> {entry['compare']:.3g}, "
                f"{loss:.0%} worse (tolerance {entry['tolerance']:.0%})")
    return worse


def all_rows(results):
    """The rows of all figures, in order."""
    figures = results.get("figures", {})
    return [entry for key in sorted(figures, key=int) for entry in figures[key]["rows"]]
