#!/usr/bin/env python3
"""Measures the SPIFFE endpoint and the signer, and says which targets are met."""

import os
import sys

from harness import parts, spiffe, tools
from harness.options import whole


def main():
    parser = parts.parser(__doc__, "spiffe", ["cached", "memory", "signer"])
    parser.add_argument("--rounds", type=whole, default=5, help="of cached calls")
    parser.add_argument("--seconds", type=whole, default=3, help="of each cached call and round, and of the exchanges")
    parser.add_argument("--pods", type=whole, default=110, help="pods with streams")
    parser.add_argument("--quick", action="store_true", help="two rounds of a second, 20 pods; writes no page of results")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds, options.pods = 2, 1, 20
        options.output = os.path.join(tools.BUILD, "spiffe.json")
        os.makedirs(tools.BUILD, exist_ok=True)

    def ending(rows):
        def measure(subject):
            try:
                return rows(subject)
            finally:
                subject.end()
        return measure

    measures = {
        "cached": lambda subject: spiffe.cached_rows(subject, options.rounds, options.seconds),
        "memory": lambda subject: spiffe.memory_rows(subject, options.pods, 5),
        "signer": lambda subject: spiffe.signer_rows(subject, 2 * options.seconds, 8),
    }
    measures = {name: ending(rows) for name, rows in measures.items()}
    return parts.main(
        "spiffe", options, measures, lambda stage: spiffe.Spiffe(stage, options.agent, options.lab), "SPIFFE",
        "Made by `make bench SPIFFE=1`: one release build of agent and signer, one run for each part.")


if __name__ == "__main__":
    sys.exit(main())
