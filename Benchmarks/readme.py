#!/usr/bin/env python3
"""Puts the table of the last results into README.md; with --check only says whether it is there."""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
README = os.path.join(HERE, os.pardir, "README.md")
TABLE = os.path.join(HERE, "results", "latest.md")
BEGIN, END = "<!-- The table of make bench -->\n", "<!-- Its end -->\n"


def with_table(readme, table):
    """The README with `table` between its two marks."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"README.md has no lines {BEGIN!r} and {END!r}")
    return f"{before}{BEGIN}\n{table}\n{END}{after}"


def main(arguments):
    with open(README) as file:
        readme = file.read()
    with open(TABLE) as file:
        table = file.read()
    new = with_table(readme, table)
    if new == readme:
        return 0
    if "--check" in arguments:
        print("README.md does not have the table of Benchmarks/results/latest.md: run Benchmarks/readme.py",
              file=sys.stderr)
        return 1
    with open(README, "w") as file:
        file.write(new)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
