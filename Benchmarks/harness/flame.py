"""Folded stacks as a flame graph: width is time, upwards is what called what."""

from colorsys import hls_to_rgb
from html import escape

WIDTH, ROW = 1200, 16
NARROWEST = 0.004  # of the whole; thinner frames are left out
LONGEST = 100  # characters of a name


class Frame:
    def __init__(self):
        self.count = 0
        self.callees = {}


def tree(stacks):
    root = Frame()
    for stack, count in stacks:
        root.count += count
        frame = root
        for name in stack.split(";"):
            frame = frame.callees.setdefault(name, Frame())
            frame.count += count
    return root


def flame_graph(stacks, kind):
    """An SVG; hovering shows the whole name and share."""
    root = tree(stacks)
    boxes, deepest = [], 0

    def place(frame, x, depth):
        nonlocal deepest
        for name, callee in sorted(frame.callees.items()):
            share = callee.count / root.count
            if share >= NARROWEST:
                boxes.append((x, depth, share, name))
                deepest = max(deepest, depth)
                place(callee, x, depth + 1)
            x += share

    place(root, 0.0, 0)
    height = (deepest + 1) * ROW + 40
    words = {"new": "a new connection for each request", "keep": "keep-alive"}.get(kind, kind)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'font-family="monospace" font-size="10">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="8" y="18" font-size="13">podidentd, cached token, {words}: {root.count} samples</text>',
    ]
    for x, depth, share, name in boxes:
        left, width = x * WIDTH, share * WIDTH
        top = height - (depth + 1) * ROW
        hue = (20 + sum(map(ord, name)) % 35) / 360
        colour = "".join(f"{round(part * 255):02x}" for part in hls_to_rgb(hue, 0.68, 0.85))
        label = name[: int(width / 6.1)] if width > 30 else ""
        parts.append(
            f"<g><title>{escape(name[:LONGEST])} ({share:.1%})</title>"
            f'<rect x="{left:.1f}" y="{top}" width="{width:.1f}" height="{ROW - 1}" fill="#{colour}"/>'
            + (f'<text x="{left + 2:.1f}" y="{top + 11}">{escape(label)}</text>' if label else "") + "</g>")
    return "\n".join(parts) + "\n</svg>\n"
