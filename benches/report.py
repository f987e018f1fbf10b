"""What the figures of `run.py` mean: the best of the rounds, ratios, targets, and the tables that show them.

Nothing here measures. A row is a dictionary: `name`, `judged` ("wall", "cpu" or None), `n`, and `results`. The last
maps an implementation to `{"wall": [...], "cpu": [...]}`, nanoseconds per operation, one figure per round, or to
`{"error": message}`.

Invariant: a ratio above 1 always means that ferrio is the faster one.
"""

import math
import statistics

from implementations import OURS
from scenarios import REGISTER

# In some rows (a free lock) the standard names never reach the loop. All columns run the same Python code there, and
# differ by this much from run to run.
NOISE = 0.03
NAME_WIDTH = 31
CELL_WIDTH = 13
RATIO_WIDTH = 14
PEER_WIDTH = 14


def new_row(name: str, judged: str | None, n: int, names: list[str]) -> dict:
    """Return a row without figures."""
    return {"name": name, "judged": judged, "n": n, "results": {each: {"wall": [], "cpu": []} for each in names}}


def best(row: dict, name: str, clock: str) -> float | None:
    """Return the best round of an implementation in nanoseconds per operation; None if it has none."""
    figures = row["results"].get(name, {}).get(clock)
    return min(figures) if figures else None


def fastest_peer(row: dict, clock: str) -> tuple[str, float] | None:
    """Return the name and best figure of the fastest peer; None if there is none."""
    figures = {name: best(row, name, clock) for name in row["results"] if name not in OURS}
    known = {name: figure for name, figure in figures.items() if figure is not None}
    if not known:
        return None
    name = min(known, key=known.__getitem__)
    return name, known[name]


def ratio(row: dict, name: str, clock: str | None = None) -> float | None:
    """Return how many times as fast as the fastest peer `name` is, by `clock` (default: the row's own)."""
    clock = clock or row["judged"] or "wall"
    peer, own = fastest_peer(row, clock), best(row, name, clock)
    return peer[1] / own if peer and own else None


def targets(version: tuple[int, int]) -> dict[str, tuple[float, float]]:
    """Return, for each of ours, the least ratio in a row and the least geometric mean on that Python."""
    standard_names = (1.0 - NOISE, 1.0)
    if version >= (3, 14):
        return {"ferrio": (1.0, 1.0), "ferrio-std": standard_names}
    return {"ferrio": (1.5, 2.5), "ferrio-std": standard_names}


def geometric_mean(rows: list[dict], name: str) -> float | None:
    """Return the geometric mean of the ratios of the judged rows; None if there are none."""
    ratios = [ratio(row, name) for row in rows if row["judged"]]
    known = [each for each in ratios if each is not None]
    return math.exp(statistics.fmean(map(math.log, known))) if known else None


def shortfalls(rows: list[dict], names: list[str], version: tuple[int, int]) -> list[str]:
    """Return a line for each judged row in which one of ours misses its target, and for the mean of the whole table."""
    lines = []
    for name, (least, least_mean) in targets(version).items():
        if name not in names:
            continue
        for row in rows:
            value = ratio(row, name)
            if row["judged"] and value is not None and value < least:
                peer = fastest_peer(row, row["judged"])[0]
                lines.append(f"{name:<11} {row['name']}: {value:.2f} times {peer}, the target is {least:g}")
        mean = geometric_mean(rows, name)
        if len(rows) == len(REGISTER) and mean is not None and mean < least_mean:
            lines.append(f"{name:<11} geometric mean: {mean:.2f}, the target is {least_mean:g}")
    return lines


def failures(rows: list[dict]) -> list[str]:
    """Return a line for each measurement that failed: the last line of its error."""
    return [
        f"{name:<11} {row['name']}: {result['error'].splitlines()[-1]}"
        for row in rows
        for name, result in row["results"].items()
        if "error" in result
    ]


def short(figure: float) -> str:
    """Return nanoseconds in at most six characters: 950, 12345, 123k, 1.2M."""
    if figure < 99_999.5:
        return f"{figure:.0f}"
    return f"{figure / 1e3:.0f}k" if figure < 999_500 else f"{figure / 1e6:.1f}M"


def cell(row: dict, name: str, clock: str) -> str:
    """Return what a table shows for one implementation: best and median, or that it failed."""
    result = row["results"].get(name, {})
    if "error" in result:
        return "failed"
    if not result.get(clock):
        return "-"
    return f"{short(min(result[clock]))}/{short(statistics.median(result[clock]))}"


def marked_ratio(row: dict, name: str, clock: str, version: tuple[int, int]) -> str:
    """Return one of our ratios, marked: `!` below target, parentheses if this clock doesn't judge."""
    value = ratio(row, name, clock)
    if value is None:
        return "-"
    if row["judged"] != clock:
        return f"({value:.2f})"
    return f"{value:.2f}{'!' if value < targets(version)[name][0] else ' '}"


def heading(names: list[str]) -> str:
    """Return the line above the rows of a text table."""
    cells = "".join(f"{name:>{CELL_WIDTH}}" for name in names)
    ratios = "".join(f"{'x ' + name:>{RATIO_WIDTH}}" for name in ours(names))
    return f"{'':<{NAME_WIDTH}}{cells}{'fastest peer':>{PEER_WIDTH}}{ratios}"


def line(row: dict, names: list[str], clock: str, version: tuple[int, int]) -> str:
    """Return one row of a text table."""
    peer = fastest_peer(row, clock)
    cells = "".join(f"{cell(row, name, clock):>{CELL_WIDTH}}" for name in names)
    ratios = "".join(f"{marked_ratio(row, name, clock, version):>{RATIO_WIDTH}}" for name in ours(names))
    return f"{row['name']:<{NAME_WIDTH}}{cells}{peer[0] if peer else '-':>{PEER_WIDTH}}{ratios}".rstrip()


def means_line(rows: list[dict], names: list[str]) -> str:
    """Return the last row of a text table: the geometric means; empty if none of ours runs."""
    means = [geometric_mean(rows, name) for name in ours(names)]
    if not means:
        return ""
    text = "".join(f"{'-' if mean is None else f'{mean:.2f} ':>{RATIO_WIDTH}}" for mean in means)
    width = NAME_WIDTH + CELL_WIDTH * len(names) + PEER_WIDTH
    return f"{'geometric mean, judged rows':<{width}}{text}".rstrip()


def ours(names: list[str]) -> list[str]:
    """Return those of the names that are ferrio's."""
    return [name for name in names if name in OURS]


def markdown(rows: list[dict], names: list[str]) -> str:
    """Return a table for a page: the best figures of the clock that judges each row, and our ratios."""
    titles = ["ns per operation", *names, *(f"{name} is" for name in ours(names))]
    lines = [markdown_line(titles), "|---|" + "---:|" * (len(titles) - 1)]
    for row in rows:
        clock = row["judged"] or "wall"
        figures = [best(row, name, clock) for name in names]
        cells = ["failed" if figure is None else f"{figure:,.0f}" for figure in figures]
        cells += [times(ratio(row, name)) for name in ours(names)]
        remark = {"wall": "", "cpu": " (CPU)", None: " (not judged)"}[row["judged"]]
        lines.append(markdown_line([row["name"] + remark, *cells]))
    if ours(names):
        means = [times(geometric_mean(rows, name)) for name in ours(names)]
        lines.append(markdown_line(["geometric mean", *[""] * len(names), *means]))
    return "\n".join(lines) + "\n"


def markdown_line(cells: list[str]) -> str:
    """Return one line of a table for a page."""
    return "| " + " | ".join(cells) + " |"


def times(value: float | None) -> str:
    """Return a ratio for a page."""
    return "-" if value is None else f"{value:.2f}x"
