"""The table of cases: what TCP does, and what a spliced connection does."""

import importlib

from harness import essence

MODULES = ("stream", "memory", "death", "reader", "sender", "outside")


def run(lab, log=print):
    rows = []
    for module in MODULES:
        for case in importlib.import_module(f"cases.{module}").CASES:
            row = {"group": module, "title": case.title, "modes": {}}
            for mode in case.modes:
                row["modes"][mode] = case.run(lab, mode)
            reference = essence(row["modes"]["off"])
            row["differs"] = [mode for mode, text in row["modes"].items()
                              if essence(text) != reference]
            rows.append(row)
            log(f"  {case.title}")
            for mode, text in row["modes"].items():
                log(f"    {'!' if mode in row['differs'] else ' '} {mode:8} {text}")
    return rows
