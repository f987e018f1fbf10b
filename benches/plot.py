"""Draws a comparison as SVG: a row for each job measured, a mark for each implementation.

The position of a mark shows how many times ferrio's time it takes. The axis is logarithmic, so twice as fast and half
as fast are equally far from ferrio's line; a mark to its left is faster than ferrio. The marks differ in shape, not
only in colour. This module doesn't touch files.
"""

import math
from dataclasses import dataclass
from xml.sax.saxutils import escape

ROW, TOP, BOTTOM, LABELS, WIDTH, MARGIN = 24, 64, 30, 250, 860, 30
FONT = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif"
TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200)


@dataclass(frozen=True)
class Theme:
    """Colours for a light or a dark page. The background is the page's."""

    text: str
    quiet: str
    line: str
    band: str
    marks: dict[str, str]


LIGHT = Theme(
    text="#24211e",
    quiet="#6f6862",
    line="#d9d3cd",
    band="#f4efea",
    marks={
        "ferrio": "#b5451b",
        "ferrio-std": "#b5451b",
        "asyncio": "#6f6862",
        "uvloop": "#1f6fb4",
        "rloop": "#2c8a4b",
        "zuvloop": "#8a4fb0",
        "rsloop": "#a87f00",
        "C": "#24211e",
    },
)
DARK = Theme(
    text="#ece6e1",
    quiet="#a79f98",
    line="#4a433d",
    band="#2f2a26",
    marks={
        "ferrio": "#ff8f61",
        "ferrio-std": "#ff8f61",
        "asyncio": "#a79f98",
        "uvloop": "#6db3f2",
        "rloop": "#70cf8e",
        "zuvloop": "#c79bea",
        "rsloop": "#e3bd4a",
        "C": "#ece6e1",
    },
)
THEMES = {"light": LIGHT, "dark": DARK}
TITLES = {"ferrio-std": "asyncio on ferrio's loop"}


def dot_plot(title: str, rows: list[tuple[str, dict[str, float]]], theme: Theme) -> str:
    """Returns the picture. `rows`: names, with the figure of each implementation including ferrio."""
    names = [name for name in theme.marks if any(name in figures for _, figures in rows)]
    ratios = [figure / figures["ferrio"] for _, figures in rows for figure in figures.values()]
    low, high = min(*ratios, 0.8) * 0.93, max(*ratios, 1.25) * 1.08
    height = TOP + ROW * len(rows) + BOTTOM

    def x(ratio: float) -> float:
        return LABELS + (math.log(ratio) - math.log(low)) / math.log(high / low) * (WIDTH - LABELS - MARGIN)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'role="img" font-family="{FONT}" font-size="13">',
        f"<title>{escape(title)}</title>",
        *_legend(names, theme),
        *_axis(x, low, high, height, theme),
    ]
    for number, (label, figures) in enumerate(rows):
        y = TOP + ROW * number + ROW / 2
        if number % 2 == 0:
            parts.insert(2, f'<rect x="0" y="{y - ROW / 2}" width="{WIDTH}" height="{ROW}" fill="{theme.band}"/>')
        parts.append(f'<text x="8" y="{y + 4.5}" fill="{theme.text}">{escape(label)}</text>')
        # ferrio's own mark comes last, on top.
        ordered = sorted(figures, key=lambda name: name == "ferrio")
        parts += [_mark(name, x(figures[name] / figures["ferrio"]), y, theme) for name in ordered]
    return "\n".join([*parts, "</svg>\n"])


def _legend(names: list[str], theme: Theme) -> list[str]:
    parts = []
    titles = {name: TITLES.get(name, name) for name in names}
    widths = {name: 38 + 7.6 * len(title) for name, title in titles.items()}
    # Many names need the room above the rows' labels, too.
    at = LABELS if LABELS + sum(widths.values()) <= WIDTH else 8
    for name, title in titles.items():
        parts.append(_mark(name, at + 6, 18, theme))
        parts.append(f'<text x="{at + 17}" y="22.5" fill="{theme.text}">{escape(title)}</text>')
        at += widths[name]
    return parts


def _axis(x, low: float, high: float, height: float, theme: Theme) -> list[str]:
    parts = []
    for tick in (tick for tick in TICKS if low <= tick <= high):
        strong = tick == 1
        parts.append(
            f'<line x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{TOP - 6}" y2="{height - BOTTOM}" '
            f'stroke="{theme.marks["ferrio"] if strong else theme.line}" stroke-width="{1.5 if strong else 1}"/>'
        )
        parts.append(
            f'<text x="{x(tick):.1f}" y="{TOP - 12}" fill="{theme.quiet}" text-anchor="middle" font-size="12">'
            f"{'ferrio' if strong else f'{tick:g} ×'}</text>"
        )
    says = "to the right: slower than ferrio, to the left: faster"
    parts.append(f'<text x="{LABELS}" y="{height - 9}" fill="{theme.quiet}" font-size="12">{says}</text>')
    return parts


def _mark(name: str, x: float, y: float, theme: Theme) -> str:
    colour = theme.marks[name]
    shapes = {
        "ferrio": f'<circle cx="{x:.1f}" cy="{y}" r="6" fill="{colour}"/>',
        "ferrio-std": f'<circle cx="{x:.1f}" cy="{y}" r="5" fill="none" stroke="{colour}" stroke-width="2"/>',
        "asyncio": f'<rect x="{x - 4.5:.1f}" y="{y - 4.5}" width="9" height="9" fill="{colour}"/>',
        "uvloop": f'<path d="M{x:.1f} {y - 6}l5.5 10h-11z" fill="{colour}"/>',
        "rloop": f'<path d="M{x:.1f} {y - 6}l6 6l-6 6l-6 -6z" fill="{colour}"/>',
        "zuvloop": f'<path d="M{x:.1f} {y + 6}l5.5 -10h-11z" fill="{colour}"/>',
        "rsloop": f'<rect x="{x - 5:.1f}" y="{y - 2.5}" width="10" height="5" fill="{colour}"/>',
        "C": f'<path d="M{x - 4.5:.1f} {y - 4.5}l9 9m0 -9l-9 9" stroke="{colour}" stroke-width="2.2" fill="none"/>',
    }
    return shapes[name]
