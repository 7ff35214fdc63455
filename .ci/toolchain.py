"""Swift's own toolchain, whose clang compiles everything in C."""

import os
import pathlib
import shutil


def tool(name):
    """A program of the toolchain; None without a toolchain that has it."""
    swift = shutil.which(os.environ.get("SWIFT", "swift"))
    path = pathlib.Path(swift).resolve().parent / name if swift else None
    return path if path and path.exists() else None
