#!/usr/bin/env python3
"""Puts the table of the last results into RESULTS.md; with --check only says whether it is there."""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
RESULTS = os.path.join(HERE, "RESULTS.md")
TABLE = os.path.join(HERE, "results", "latest.md")
BEGIN, END = "<!-- The table of make bench -->\n", "<!-- Its end -->\n"


def with_table(page, table):
    """The page with `table` between its two marks."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"RESULTS.md has no lines {BEGIN!r} and {END!r}")
    return f"{before}{BEGIN}\n{table}\n{END}{after}"


def main(arguments):
    with open(RESULTS) as file:
        page = file.read()
    with open(TABLE) as file:
        table = file.read()
    new = with_table(page, table)
    if new == page:
        return 0
    if "--check" in arguments:
        print("Benchmarks/RESULTS.md does not have the table of Benchmarks/results/latest.md: run Benchmarks/readme.py",
              file=sys.stderr)
        return 1
    with open(RESULTS, "w") as file:
        file.write(new)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
