#!/usr/bin/env python3
"""Draws results as SVG: draw.py [RESULTS.json [DIRECTORY]]."""

import json
import os
import sys

from harness.charts import PICTURES, Missing

HERE = os.path.dirname(os.path.abspath(__file__))


def draw(results, directory):
    """Writes every picture whose figure is there; returns the names, and what is missing."""
    os.makedirs(directory, exist_ok=True)
    drawn, missing = [], []
    for name, picture in PICTURES.items():
        try:
            image = picture(results)
        except Missing as error:
            missing.append(f"{name}: {error}")
            continue
        with open(os.path.join(directory, name), "w") as file:
            file.write(image)
        drawn.append(name)
    return drawn, missing


def main(arguments):
    path = arguments[0] if arguments else os.path.join(HERE, "results", "latest.json")
    directory = arguments[1] if len(arguments) > 1 else os.path.join(HERE, "figures")
    try:
        with open(path) as file:
            results = json.load(file)
    except (OSError, ValueError) as error:
        print(f"draw: {path} cannot be read: {error}", file=sys.stderr)
        return 1
    drawn, missing = draw(results, directory)
    for line in missing:
        print(f"draw: left out {line}", file=sys.stderr)
    print(f"{len(drawn)} pictures in {directory}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
