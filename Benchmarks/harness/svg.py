"""SVG without a library: one chart of lines or bars with its axes and legend."""

from html import escape

WIDTH, HEIGHT = 720, 400
LEFT, RIGHT, TOP, BOTTOM = 78, 20, 78, 52
FONT = "font-family=\"-apple-system, 'Segoe UI', Helvetica, Arial, sans-serif\""
INK, FAINT, PAPER = "#1f2328", "#d8dee4", "#ffffff"
COLOURS = {"podidentd": "#0b62d6", "nginx": "#8a6d00", "floor": "#7d8590"}


def text(x, y, words, size=12, anchor="middle", colour=INK, extra=""):
    return (f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{colour}" {extra}>'
            f"{escape(words)}</text>")


def line(x1, y1, x2, y2, colour=FAINT, width=1.0, dash=""):
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    return (f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" '
            f'stroke-width="{width}"{dashes}/>')


def short(value):
    """12000 -> 12k."""
    if value >= 1_000_000:
        return f"{value / 1_000_000:g}M"
    if value >= 1000:
        return f"{value / 1000:g}k"
    return f"{value:g}"


def nice_steps(top, count=5):
    """Round numbers from 0 to at least `top`."""
    raw = max(top, 1e-9) / count
    magnitude = 1.0
    while magnitude > raw:
        magnitude /= 10
    while magnitude * 10 <= raw:
        magnitude *= 10
    step = next(magnitude * factor for factor in (1, 2, 2.5, 5, 10) if magnitude * factor >= raw)
    steps = [0.0]
    while steps[-1] < top:
        steps.append(steps[-1] + step)
    return steps


class Chart:
    """Places numbers; `logarithmic` for y axes that span orders of magnitude."""

    def __init__(self, title, subtitle, y_label, lowest, highest, logarithmic=False):
        self.logarithmic = logarithmic
        if logarithmic:
            self.steps = [10.0 ** power for power in range(-3, 9)
                          if 10.0 ** (power + 1) > lowest and 10.0 ** (power - 1) < highest]
            self.low, self.high = self.steps[0], self.steps[-1]
        else:
            self.steps = nice_steps(highest * 1.05)
            self.low, self.high = 0.0, self.steps[-1]
        self.parts = [
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="{PAPER}" rx="6"/>',
            text(16, 24, title, 15, "start", extra='font-weight="600"'),
            text(16, 42, subtitle, 11, "start", "#59636e"),
        ]
        for step in self.steps:
            y = self.y(step)
            self.parts += [line(LEFT, y, WIDTH - RIGHT, y), text(LEFT - 8, y + 4, short(step), 11, "end", "#59636e")]
        middle = (TOP + HEIGHT - BOTTOM) / 2
        self.parts.append(text(18, middle, y_label, 11, colour="#59636e", extra=f'transform="rotate(-90 18 {middle})"'))

    def y(self, value):
        from math import log10
        height = HEIGHT - BOTTOM - TOP
        if self.logarithmic:
            value = min(max(value, self.low), self.high)
            part = (log10(value) - log10(self.low)) / (log10(self.high) - log10(self.low))
        else:
            part = (value - self.low) / (self.high - self.low)
        return HEIGHT - BOTTOM - part * height

    def x(self, position, count):
        """The place of one of `count` equally wide columns."""
        width = WIDTH - RIGHT - LEFT
        return LEFT + width * (position + 0.5) / count

    def x_labels(self, labels):
        for position, label in enumerate(labels):
            self.parts.append(text(self.x(position, len(labels)), HEIGHT - BOTTOM + 18, label, 11))

    def x_title(self, words):
        self.parts.append(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, words, 11, colour="#59636e"))

    def polyline(self, points, colour, dash="", dots=True):
        path = " ".join(f"{x:.1f},{self.y(value):.1f}" for x, value in points)
        dashes = f' stroke-dasharray="{dash}"' if dash else ""
        self.parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{dashes}/>')
        if dots:
            self.parts += [f'<circle cx="{x:.1f}" cy="{self.y(value):.1f}" r="3.5" fill="{colour}"/>'
                           for x, value in points]

    def range(self, x, low, high, colour):
        """What the rounds spanned."""
        self.parts.append(line(x, self.y(low), x, self.y(high), colour, 1.5))

    def bar(self, x, width, value, colour, label, base=0.0):
        top, bottom = self.y(value), self.y(base)
        self.parts.append(f'<rect x="{x - width / 2:.1f}" y="{top:.1f}" width="{width:.1f}" '
                          f'height="{bottom - top:.1f}" fill="{colour}"/>')
        if label:
            self.parts.append(text(x, top - 6, label, 11))

    def legend(self, entries):
        """(words, colour, dash) from the right edge of the subtitle's line."""
        x = WIDTH - RIGHT
        for words, colour, dash in reversed(entries):
            width = 6.2 * len(words) + 34
            x -= width
            self.parts += [line(x, 56, x + 20, 56, colour, 2.5, dash), text(x + 25, 60, words, 11, "start")]

    def finish(self):
        body = "\n".join(self.parts)
        return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
                f'height="{HEIGHT}" role="img" {FONT}>\n{body}\n</svg>\n')
