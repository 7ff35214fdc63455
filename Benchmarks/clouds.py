#!/usr/bin/env python3
"""Measures AWS and Azure beside Google, all by one agent in one run, and says which targets are met."""

import sys

from harness import clouds, parts
from harness.options import whole


def main():
    parser = parts.parser(__doc__, "clouds", ["cached", "memory", "cold"])
    parser.add_argument("--rounds", type=whole, default=7, help="of cached requests")
    parser.add_argument("--seconds", type=whole, default=3, help="of each cached request and round")
    parser.add_argument("--cold", type=whole, default=1000, help="cold credentials")
    options = parser.parse_args()
    measures = {
        "cached": lambda subject: clouds.cached_rows(subject, options.rounds, options.seconds),
        "memory": lambda subject: clouds.memory_rows(subject, 3, 19),
        "cold": lambda subject: clouds.cold_rows(subject, options.cold, 20),
    }
    return parts.main(
        "clouds", options, measures, lambda stage: clouds.Clouds(stage, options.agent), "AWS and Azure beside Google",
        "Made by `make bench CLOUDS=1`: one release build of the agent, one run for each part.")


if __name__ == "__main__":
    sys.exit(main())
