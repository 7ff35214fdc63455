"""Swift's own toolchain, whose clang compiles everything in C."""

import os
import pathlib
import shutil
import subprocess
import sys


def swift():
    """The program that SWIFT names, or else that of PATH; None without one."""
    return shutil.which(os.environ.get("SWIFT") or "swift")


def required():
    """The same; without one it ends this program with a sentence."""
    found = swift()
    if not found:
        sys.exit(subprocess.run(["bash", pathlib.Path(__file__).resolve().parent / "need-swift"]).returncode or 1)
    return found


def tool(name):
    """A program of the toolchain; None without a toolchain that has it."""
    found = swift()
    path = pathlib.Path(found).resolve().parent / name if found else None
    return path if path and path.exists() else None


def clang():
    """The toolchain's clang, or else that of PATH; without one it ends this program with a sentence."""
    return tool("clang") or shutil.which("clang") or (required() and sys.exit(
        "Swift's clang is missing: install Swift's whole toolchain from swift.org, or a clang."))
