"""Writes docs/conformance.md: the numbered cases of `make conformance`, from the titles of their tests."""

import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "conformance.md"
CASE, CLOUD_CASE = "case", "cloud case"
# A title of a test or of one of its rows; it may have several numbers.
TITLE = re.compile(r'["`]((?:(?:cloud )?case \d+ )+)((?:[^"`\\\n]|\\.)+)["`]')
NUMBER = re.compile(r"(cloud case|case) (\d+) ")
# A row of the table of requests and answers, and a real client of AWS or Azure.
ROW = re.compile(r'\.init\(\s*(\d+),\s*"((?:[^"\\]|\\.)+)"')
ROWS = "Tests/MetadataServerTests/ConformanceTests.swift"
CLIENT = re.compile(r'CloudClient\(\s*"((?:[^"\\]|\\.)+)",\s*(\d+),')
CLIENTS = "Lab/Lab/Clients/Cases/CloudClient+All.swift"

HEAD = """# Cases of the conformance suite

`make conformance` runs these, and prints a line for each. `make cases` writes this page from the titles of the tests.
"""
SECTIONS = {
    CASE: """
## Google's metadata server

Cases 5 (speed), 6 and 95 to 104 (real clients) are rows of `make bench` and `make clients`.

| case | what is so | test |
|---|---|---|
""",
    CLOUD_CASE: """
## AWS and Azure

Cases 56 to 66 are real clients. `make conformance` names those that this machine cannot have.

| case | what is so | test |
|---|---|---|
""",
}


def titles(path, text):
    """The kind, the number and the title of each case of a file."""
    for match in TITLE.finditer(text):
        for kind, number in NUMBER.findall(match[1]):
            yield kind, int(number), match[2]
    if path == ROWS:
        for match in ROW.finditer(text):
            yield CASE, int(match[1]), match[2]
    if path == CLIENTS:
        azures = text.index("static let azure")
        for match in CLIENT.finditer(text):
            cloud = "Azure" if match.start() > azures else "AWS"
            yield CLOUD_CASE, int(match[2]), f"{match[1]} reads a bucket of {cloud} as the pod's own identity"


def cases():
    """The kind, the number, the title and the suite of each case, by number."""
    files = [*(ROOT / "Tests").rglob("*.swift"), ROOT / CLIENTS]
    found = []
    for file in files:
        path = file.relative_to(ROOT).as_posix()
        suite = "CloudClientTests" if path == CLIENTS else file.stem
        found += [(kind, number, title, suite) for kind, number, title in titles(path, file.read_text())]
    return sorted(found)


def cell(text):
    """The text of a title as Markdown shows it."""
    return re.sub(r"([\\|<*_`\[\]])", r"\\\1", re.sub(r"\\(.)", r"\1", text))


def page(found):
    lines = [HEAD]
    for section, head in SECTIONS.items():
        lines.append(head)
        lines += [f"| {number} | {cell(title)} | `{suite}` |\n" for kind, number, title, suite in found if kind == section]
    return "".join(lines)


if __name__ == "__main__":
    PAGE.write_text(page(cases()))
