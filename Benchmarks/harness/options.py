"""The options that every benchmark has."""

import argparse
import os

from harness.tools import ROOT


def whole(text):
    """A whole number above 0."""
    if not (text.isascii() and text.isdecimal() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"a whole number above 0 is needed, and not '{text}'")
    return int(text)


def program_problem(path):
    """Why a path is no program's; None: it is one's."""
    return None if os.path.isfile(path) and os.access(path, os.X_OK) else f"there is no program at '{path}'"


class Options(argparse.ArgumentParser):
    """Says what is wrong with its options in one sentence. With `--check` that is all: `make bench` asks before it builds."""

    def __init__(self, description):
        super().__init__(description=description)
        self.add_argument("--agent", default=f"{ROOT}/.build-release/release/podidentd", help="the agent under test")
        self.add_argument("--lab", default=f"{ROOT}/.build-release/release/podidentd-lab", help="the embedded lab")
        self.add_argument("--check", action="store_true", help="looks at the options alone, and measures nothing")

    def error(self, message):
        self.exit(2, f"{self.prog}: {message}\n")

    def parse_args(self, args=None, namespace=None):
        options = super().parse_args(args, namespace)
        for name in ("agent", "lab"):
            path = getattr(options, name)
            # Those that are built here may be built later.
            if path != self.get_default(name) and (problem := program_problem(path)):
                self.error(f"--{name}: {problem}")
        return options
