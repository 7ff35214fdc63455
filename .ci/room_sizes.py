"""Measures the rooms of the house: lines, files, and the largest file and function of each."""

import collections
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
BEFORE = "2d21139"
PAGE = ROOT / "docs" / "ARCHITECTURE.md"
HEAD = "| room | before | now | largest file | largest function |"
PARENTS = ("Sources", "Lab")
SWIFT = re.compile(r"^( *)(?:@\S+ )*(?:[a-z]+(?:\(set\))? )*(?:func \S+?|init[?]?|subscript|deinit)[(<{ ].*$")
C = re.compile(r"^()(?:static |const |struct |unsigned |__always_inline |volatile )*\w+ \**\w+\([^;]*$")


def room(path):
    """The room that a file of code belongs to; None: to none."""
    parts = pathlib.PurePosixPath(path).parts
    if not path.endswith((".swift", ".c", ".h")) or path.endswith(".skel.h"):
        return None
    if parts[0] == "bpf":
        return "bpf"
    return f"{parts[0]}/{parts[1]}" if parts[0] in PARENTS and len(parts) > 2 else None


def longest_function(name, lines):
    """A function ends at the first closing brace that stands as far in as its declaration: the format guarantees that."""
    declaration, longest = SWIFT if name.endswith(".swift") else C, 0
    for index, line in enumerate(lines):
        match = declaration.match(line)
        if not match or line.endswith("}"):
            continue
        indent = match[1]
        opening = line
        if line.endswith("("):
            opening = next(
                (each for each in lines[index + 1:] if each.startswith(indent) and not each.startswith(indent + " ")), "")
        if name.endswith(".swift") and not opening.endswith("{"):
            continue
        for end in range(index + 1, len(lines)):
            if lines[end] == indent + "}" or lines[end].startswith(indent + "} "):
                longest = max(longest, end - index + 1)
                break
    return longest


class Size:
    def __init__(self):
        self.lines = self.files = self.largest_file = self.largest_function = 0

    def add(self, name, text):
        lines = text.split("\n")
        count = len(lines) - 1
        self.lines += count
        self.files += 1
        self.largest_file = max(self.largest_file, count)
        self.largest_function = max(self.largest_function, longest_function(name, lines))


def measure(files):
    """The sizes by room, of pairs of a path and a text."""
    sizes = collections.defaultdict(Size)
    for path, text in files:
        if name := room(path):
            sizes[name].add(path, text)
    return sizes


def git(*arguments):
    return subprocess.run([ROOT / ".ci" / "git", *arguments], capture_output=True, check=True).stdout


def files_now():
    for path in git("ls-files", "-z", "--cached", "--others", "--exclude-standard").decode().split("\0"):
        if room(path) and (ROOT / path).is_file():
            yield path, (ROOT / path).read_text()


def files_at(commit):
    for path in git("ls-tree", "-r", "--name-only", "-z", commit).decode().split("\0"):
        if room(path):
            # The lab was among the sources.
            moved = re.sub(r"^Sources/(Lab|LabAttack|CLabShims|podidentd-lab)/", r"Lab/\1/", path)
            yield moved, git("show", f"{commit}:{path}").decode()


def cell(size, before, attribute):
    values = [str(getattr(each, attribute)) for each in (before, size) if each]
    return " → ".join(values)


def table(now, before):
    """A row for each room. A room that is new has one figure of a kind."""
    lines = [HEAD, "|---|---|---|---|---|"]
    for name in sorted(now, key=lambda name: (name == "bpf", not name.startswith("Sources"), name.lower())):
        old, size = before.get(name), now[name]
        lines.append(
            f"| `{name}` | {f'{old.lines} in {old.files}' if old else '-'} | {size.lines} in {size.files} "
            f"| {cell(size, old, 'largest_file')} | {cell(size, old, 'largest_function')} |")
    return "\n".join(lines)


def replace(page, new):
    """The page with its table of sizes replaced."""
    begin = page.index(HEAD)
    end = page.find("\n\n", begin)
    return page[:begin] + new + (page[end:] if end >= 0 else "\n")


def rows(page):
    """The rows of the page's table: by room, the lines and files of now."""
    found = {}
    for line in page[page.index(HEAD):].split("\n\n")[0].splitlines()[2:]:
        cells = [each.strip() for each in line.strip("|").split("|")]
        lines, files = map(int, cells[2].split(" in "))
        found[cells[0].strip("`")] = (lines, files)
    return found


def main():
    try:
        before = measure(files_at(BEFORE))
    except subprocess.CalledProcessError:
        sys.exit(f"The commit {BEFORE} is not in this clone: fetch the whole history.")
    PAGE.write_text(replace(PAGE.read_text(), table(measure(files_now()), before)))


if __name__ == "__main__":
    main()
