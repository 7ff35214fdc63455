"""The tests of what builds and tests here."""

import importlib.machinery
import importlib.util
import pathlib
import sys


def load(name):
    """The module of a script of `.ci`, whose name has no suffix: an import would not find it."""
    path = pathlib.Path(__file__).resolve().parent.parent / name
    loader = importlib.machinery.SourceFileLoader(name.replace("-", "_"), str(path))
    # Nothing is left beside the script.
    sys.dont_write_bytecode = True
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module
