"""Options that a program takes from its environment. A wrong one ends the program with one sentence, before it does anything."""

import math
import os
import sys


def whole(name, default, text=None):
    """A whole number above 0; `text` stands for the variable's value."""
    text = (os.environ.get(name) if text is None else text) or str(default)
    if not (text.isascii() and text.isdecimal() and int(text) > 0):
        sys.exit(f"{name} is a whole number above 0, and not '{text}': leave it out for {default}.")
    return int(text)


def decimal(name, default):
    """A number above 0, which may have a decimal point."""
    text = os.environ.get(name) or str(default)
    try:
        number = float(text)
    except ValueError:
        number = 0
    if not (math.isfinite(number) and number > 0):
        sys.exit(f"{name} is a number above 0, and not '{text}': leave it out for {default}.")
    return number


def word(name, known):
    """One of some words, the first if none is said."""
    chosen = words(name, known, known[:1])
    if len(chosen) > 1:
        sys.exit(f"{name} is one of {', '.join(known)}, and not '{' '.join(chosen)}'.")
    return chosen[0]


def words(name, known, default):
    """Words of a list, `known` all of them."""
    chosen = os.environ.get(name, "").split() or list(default)
    for word in chosen:
        if word not in known:
            sys.exit(f"{name} names '{word}', and there are {', '.join(known)}.")
    return chosen
