"""Draws a soak as SVG: a small chart for each line, with the samples of each second and, above them, those at rest.

The colours are those of the benchmarks' pictures (`benches/plot.py`). `publish` also writes the picture for dark pages
and the numbers, thinned out, into docs/assets.
"""

import json
from pathlib import Path
from xml.sax.saxutils import escape

from benches.plot import FONT, THEMES, Theme
from tests.soak.levels import LINES, WARM_UP

WIDTH, COLUMNS, HEIGHT, GAP, TOP = 860, 2, 96, 34, 56
#: More points than this aren't seen in a chart of this width.
MOST_POINTS = 380
PROCESS = "server"


def draw(run: dict, theme: str) -> str:
    """Returns the picture of the server's levels."""
    colours = THEMES[theme]
    samples = run["samples"].get(PROCESS, [])
    lines = [line for line in LINES if any(line in each for each in samples)]
    rows = (len(lines) + COLUMNS - 1) // COLUMNS
    height = TOP + rows * (HEIGHT + GAP)
    title = f"The server's levels in a soak of {run['seconds'] / 60:.0f} minutes"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'role="img" font-family="{FONT}" font-size="12">',
        f"<title>{escape(title)}</title>",
        *_legend(colours, run["seconds"] / 60),
    ]
    width = (WIDTH - GAP * (COLUMNS - 1)) / COLUMNS
    for number, line in enumerate(lines):
        left = (number % COLUMNS) * (width + GAP)
        top = TOP + (number // COLUMNS) * (HEIGHT + GAP)
        parts += _chart(line, samples, run["seconds"], left, top, width, colours)
    return "\n".join([*parts, "</svg>\n"])


def _legend(colours: Theme, minutes: float) -> list[str]:
    parts = [
        f'<line x1="4" x2="24" y1="14" y2="14" stroke="{colours.quiet}"/>',
        f'<text x="30" y="18" fill="{colours.text}">each second, under load</text>',
        f'<circle cx="214" cy="14" r="3" fill="{colours.marks["ferrio"]}"/>',
        f'<text x="224" y="18" fill="{colours.text}">at rest, after a collection (judged)</text>',
        f'<rect x="456" y="7" width="20" height="14" fill="{colours.band}" stroke="{colours.line}"/>',
        f'<text x="482" y="18" fill="{colours.text}">warm-up (not judged)</text>',
        f'<text x="{WIDTH}" y="18" fill="{colours.quiet}" text-anchor="end">each {minutes:.0f} minutes wide</text>',
    ]
    return parts


def _chart(
    line: str, samples: list[dict], seconds: float, left: float, top: float, width: float, colours: Theme
) -> list[str]:
    points = [(each["t"], each[line], each["rest"]) for each in samples if line in each]
    high = max(value for _, value, _ in points)
    # From zero, unless the line is far from it.
    low = min(value for _, value, _ in points)
    low = 0 if low < high / 2 else low
    room = (high - low) or 1

    def x(at: float) -> float:
        return left + min(at / seconds, 1) * width

    def y(value: float) -> float:
        return top + HEIGHT - (value - low) / room * (HEIGHT - 24)

    each = max(1, len(points) // MOST_POINTS)
    drawn = [f"{x(at):.1f},{y(value):.1f}" for at, value, _ in points[::each]]
    parts = [
        f'<rect x="{left:.1f}" y="{top}" width="{width * WARM_UP:.1f}" height="{HEIGHT}" fill="{colours.band}"/>',
        f'<line x1="{left:.1f}" x2="{left + width:.1f}" y1="{top + HEIGHT}" y2="{top + HEIGHT}" '
        f'stroke="{colours.line}"/>',
        f'<text x="{left + 4:.1f}" y="{top + 13}" fill="{colours.text}">{escape(LINES[line][0])}</text>',
        f'<text x="{left + width:.1f}" y="{top + 13}" fill="{colours.quiet}" text-anchor="end">'
        f"{low:,.10g} to {high:,.10g}</text>",
        f'<polyline points="{" ".join(drawn)}" fill="none" stroke="{colours.quiet}" stroke-width="0.8"/>',
    ]
    at_rest = [point for point in points if point[2]]
    parts += [
        f'<circle cx="{x(at):.1f}" cy="{y(value):.1f}" r="2" fill="{colours.marks["ferrio"]}"/>'
        for at, value, _ in at_rest[:: max(1, len(at_rest) // 60)]
    ]
    return parts


def publish(run: dict, folder: Path, name: str = "soak") -> None:
    """Writes the pictures for light and dark pages, and the samples at rest, as docs/trust.md shows them."""
    for theme in THEMES:
        (folder / f"{name}-{theme}.svg").write_text(draw(run, theme))
    kept = {name: value for name, value in run.items() if name != "samples"}
    kept["samples at rest"] = {
        name: [each for each in samples if each["rest"]] for name, samples in run["samples"].items()
    }
    (folder / f"{name}.json").write_text(_by_line(kept) + "\n")


def _by_line(kept: dict) -> str:
    """Returns JSON with a line for each sample."""
    samples = kept.pop("samples at rest")
    head = json.dumps(kept, indent=1)[:-2]
    texts = [
        f' "{name}": [\n' + ",\n".join(f"  {json.dumps(each)}" for each in some) + "\n ]"
        for name, some in samples.items()
    ]
    return head + ',\n "samples at rest": {\n' + ",\n".join(texts) + "\n }\n}"
