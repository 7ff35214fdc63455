"""Draws a Grafana dashboard as SVG: its panels, where the dashboard places them, with what a Prometheus answers."""
import math
from html import escape

# A unit of Grafana's grid, which has 24 columns.
COLUMN, ROW, GAP = 50, 27, 4
FONT = "font-family=\"-apple-system, 'Segoe UI', Helvetica, Arial, sans-serif\""
INK, FAINT, LINES, PAPER, CARD = "#1f2328", "#59636e", "#d8dee4", "#f6f8fa", "#ffffff"
COLOURS = ["#0b62d6", "#bf4b00", "#1a7f37", "#8250df", "#8a6d00", "#cf222e", "#0a7c86", "#99286e", "#57606a", "#3b5bdb"]
# Names of Grafana's units: what stands behind a number.
UNITS = {"short": "", "s": "s", "reqps": "req/s", "ops": "/s", "cps": "/s", "percentunit": "%", "bytes": "B"}


def number(value, unit):
    """The number as a person reads it: 0.0123 s is 12.3 ms."""
    if not math.isfinite(value):
        return "-"
    if unit == "percentunit":
        return f"{value * 100:.3g}%"
    if unit == "s" and 0 < abs(value) < 1:
        scale, suffix = (1e6, "µs") if abs(value) < 1e-3 else (1e3, "ms")
        return f"{value * scale:.3g} {suffix}"
    if unit == "s" and abs(value) >= 120:
        hours, rest = divmod(round(value), 3600)
        return f"{hours}h{rest // 60:02d}m" if hours else f"{rest // 60}m{rest % 60:02d}s"
    for limit, scale, prefix in [(1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e3, 1e3, "k")]:
        if abs(value) >= limit:
            return f"{value / scale:.3g} {prefix}{UNITS[unit]}"
    return f"{value:.3g} {UNITS[unit]}".rstrip()


def words(x, y, content, size=11, anchor="start", colour=INK, weight=""):
    bold = f' font-weight="{weight}"' if weight else ""
    return f'<text x="{x:.0f}" y="{y:.0f}" font-size="{size}" text-anchor="{anchor}" fill="{colour}"{bold}>{escape(content)}</text>'


def cut(content, width, size=11):
    """Latin letters are about half as wide as they are high."""
    limit = max(3, int(width / (size * 0.54)))
    return content if len(content) <= limit else content[: limit - 1] + "…"


class Panel:
    """A panel's place in pixels."""

    def __init__(self, panel):
        place = panel["gridPos"]
        self.left, self.top = place["x"] * COLUMN + GAP, place["y"] * ROW + GAP
        self.width, self.height = place["w"] * COLUMN - 2 * GAP, place["h"] * ROW - 2 * GAP
        self.title = panel["title"]
        self.unit = panel.get("fieldConfig", {}).get("defaults", {}).get("unit", "short")

    def frame(self):
        return [
            f'<rect x="{self.left}" y="{self.top}" width="{self.width}" height="{self.height}" rx="4" fill="{CARD}" '
            f'stroke="{LINES}"/>',
            words(self.left + 10, self.top + 19, cut(self.title, self.width - 20, 12), 12, weight="600"),
        ]

    def nothing(self):
        middle = self.left + self.width / 2, self.top + self.height / 2 + 8
        return self.frame() + [words(*middle, "No data", 12, "middle", FAINT)]

    def stat(self, series):
        """The last values, large."""
        parts = self.frame()
        height = (self.height - 30) / len(series)
        for index, (name, points) in enumerate(series):
            y = self.top + 30 + height * (index + 0.5) + 7
            size = min(26, height * 0.7)
            parts.append(words(self.left + 12, y, cut(name, self.width * 0.6, 12), 12, colour=FAINT))
            right = self.left + self.width - 12
            parts.append(words(right, y, number(points[-1][1], self.unit), f"{size:.0f}", "end", COLOURS[0], "600"))
        return parts

    def timeseries(self, series, start, end):
        parts = self.frame()
        rows = min(3, -(-len(series) // 2))
        left, right = self.left + 58, self.left + self.width - 12
        top, bottom = self.top + 32, self.top + self.height - 26 - 14 * rows
        # The legend has room for the first: the greatest on average.
        series = sorted(series, key=lambda entry: -sum(value for _, value in entry[1]) / len(entry[1]))
        values = [value for _, points in series for _, value in points]
        highest = steps(max(values))
        for value in highest:
            y = bottom - (bottom - top) * value / highest[-1]
            parts.append(f'<path d="M{left} {y:.0f}H{right}" stroke="{LINES}"/>')
            parts.append(words(left - 6, y + 4, number(value, self.unit), 10, "end", FAINT))
        for share, anchor in [(0, "start"), (0.5, "middle"), (1, "end")]:
            moment = f"{(end - start) * share / 60:.1f} min"
            parts.append(words(left + (right - left) * share, bottom + 14, moment, 10, anchor, FAINT))
        for index, (_, points) in enumerate(series):
            path = "".join(
                f"{'L' if number else 'M'}{left + (right - left) * (moment - start) / (end - start):.0f} "
                f"{bottom - (bottom - top) * value / highest[-1]:.1f}"
                for number, (moment, value) in enumerate(points)
            )
            colour = COLOURS[index % len(COLOURS)]
            parts.append(f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        return parts + self.legend(series, bottom + 30, rows)

    def legend(self, series, top, rows):
        parts = []
        width = (self.width - 20) / 2
        for index, (name, points) in enumerate(series[: rows * 2]):
            x, y = self.left + 12 + width * (index % 2), top + 14 * (index // 2)
            left = len(series) - rows * 2
            isLast = index == rows * 2 - 1 and left > 0
            name = f"and {left + 1} more" if isLast else f"{name}  {number(points[-1][1], self.unit)}"
            colour = FAINT if isLast else COLOURS[index % len(COLOURS)]
            parts.append(f'<path d="M{x:.0f} {y - 4:.0f}h12" stroke="{colour}" stroke-width="3"/>')
            parts.append(words(x + 17, y, cut(name, width - 22, 10), 10, colour=FAINT))
        return parts


def steps(highest):
    """Round numbers from 0 to at least the highest value."""
    if highest <= 0:
        return [0, 1]
    raw = highest / 4
    magnitude = 10 ** math.floor(math.log10(raw))
    step = next(magnitude * factor for factor in (1, 2, 2.5, 5, 10) if magnitude * factor >= raw * 0.999)
    return [step * index for index in range(math.ceil(highest / step * 0.999) + 1)]


def draw(dashboard, answers, start, end, note):
    """The picture. `answers`: by a panel's number its series, each a name and points of time and value."""
    parts = []
    bottom = 0
    for panel in dashboard["panels"]:
        place = Panel(panel)
        bottom = max(bottom, place.top + place.height)
        series = answers.get(panel["id"], [])
        if panel["type"] == "row":
            parts.append(words(place.left + 4, place.top + 15, panel["title"], 14, weight="600"))
        elif not series:
            parts += place.nothing()
        elif panel["type"] == "stat":
            parts += place.stat(series)
        else:
            parts += place.timeseries(series, start, end)
    width, height = 24 * COLUMN, bottom + 26
    parts.append(words(8, height - 8, note, 11, colour=FAINT))
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" {FONT}>\n<rect width="{width}" height="{height}" fill="{PAPER}"/>\n{body}\n</svg>\n'
    )
