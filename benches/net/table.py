"""What the figures of `run.py` mean: the best of the rounds, ratios, targets, and the table that shows them.

Nothing here measures. A row is a dictionary with `cell` and `results`. `results` maps a column to `{"error": message}`
or to a list of rounds, each `{"cpu_ns": ..., "rate": ..., "busy": ..., "p50_us": ..., "p99_us": ...}`. These are the
server process's CPU time per operation, operations per second, the share of the time in which it had work, and two
latencies.

Invariant: a ratio is our CPU time divided by the other's: below 1, ferrio is cheaper.
"""

import math
import statistics

import beside  # noqa: F401 - makes the modules of benches/ importable
from implementations import OURS
from processes import LIMIT_NAME

NAME_WIDTH, CELL_WIDTH, RATIO_WIDTH = 32, 14, 11


def best(row: dict, name: str) -> float | None:
    """Return the least CPU time of the rounds in nanoseconds per operation; None if there is none."""
    rounds = row["results"].get(name)
    return min(each["cpu_ns"] for each in rounds) if isinstance(rounds, list) and rounds else None


def best_peer(row: dict) -> tuple[str, float] | None:
    """Return name and figure of the peer with the least CPU time; None if no peer has one."""
    figures = {name: best(row, name) for name in row["results"] if name not in (*OURS, LIMIT_NAME)}
    known = {name: figure for name, figure in figures.items() if figure is not None}
    name = min(known, key=known.__getitem__, default=None)
    return None if name is None else (name, known[name])


def ratio(row: dict, name: str, other: float | None) -> float | None:
    """Return the CPU time of `name` divided by another figure; None if one of them isn't known."""
    own = best(row, name)
    return own / other if own and other else None


def checks(row: dict, name: str, rows: list[dict]):
    """Yield (what, ratio, most) for each target of one of ours in a row; unknown ratios are left out."""
    cell, peer = row["cell"], best_peer(row)
    limit = best(row, LIMIT_NAME)
    found = []
    if cell.to_limit:
        found.append((LIMIT_NAME, ratio(row, name, limit), cell.to_limit))
    if cell.to_peer_named:
        found.append((cell.to_peer_named, ratio(row, name, best(row, cell.to_peer_named)), cell.to_peer))
        found.append((peer[0] if peer else "", ratio(row, name, peer and peer[1]), 1.0))
    else:
        found.append((peer[0] if peer else "", ratio(row, name, peer and peer[1]), cell.to_peer))
    if cell.to_row:
        other = next((each for each in rows if each["cell"].name == cell.to_row[0]), None)
        found.append((cell.to_row[0], ratio(row, name, other and best(other, name)), cell.to_row[1]))
    return [(what, value, most) for what, value, most in found if value is not None]


def shortfalls(rows: list[dict], names: list[str]) -> list[str]:
    """Return a line for each missed target, with C's figure if even C misses it."""
    lines = []
    for name in ours(names):
        for row in rows:
            for what, value, most in checks(row, name, rows):
                if value > most:
                    limit = ratio(row, LIMIT_NAME, best(row, what))
                    remark = f"; C is at {limit:.2f}" if limit and limit > most and what != LIMIT_NAME else ""
                    lines.append(
                        f"{name:<11} {row['cell'].name}: {value:.2f} times {what}, the target is {most:.2f}{remark}"
                    )
    return lines


def failures(rows: list[dict]) -> list[str]:
    """Return a line for each implementation and error, with the rows that failed because of it."""
    found: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        for name, result in row["results"].items():
            if isinstance(result, dict):
                found.setdefault((name, result["error"]), []).append(row["cell"].name)
    return [f"{name:<11} {error}\n{'':<14}in {'; '.join(failed)}" for (name, error), failed in found.items()]


def ours(names: list[str]) -> list[str]:
    """Return those of the names that are ferrio's."""
    return [name for name in names if name in OURS]


def cell_text(row: dict, name: str) -> str:
    """Return what the table shows for one column: best and median in microseconds, or that there is none."""
    rounds = row["results"].get(name)
    if isinstance(rounds, dict):
        return "failed"
    if not rounds:
        return "-"
    median = statistics.median(each["cpu_ns"] for each in rounds)
    return f"{short(best(row, name))}/{short(median)}"


def short(ns: float) -> str:
    """Return nanoseconds as microseconds with three digits."""
    us = ns / 1e3
    return f"{us:.0f}" if us >= 100 else f"{us:.1f}" if us >= 10 else f"{us:.2f}"


def heading(names: list[str]) -> str:
    """Return the line above the rows."""
    cells = "".join(f"{name:>{CELL_WIDTH}}" for name in names)
    ratios = "".join(f"{name + title:>{RATIO_WIDTH + 6}}" for name in ours(names) for title in ("/C", "/peer"))
    return f"{'':<{NAME_WIDTH}}{cells}{'best peer':>{RATIO_WIDTH}}{ratios}"


def line(row: dict, names: list[str], rows: list[dict]) -> str:
    """Return one row: the figures, the best peer, and our ratios, marked `!` if a target is missed."""
    peer = best_peer(row)
    cells = "".join(f"{cell_text(row, name):>{CELL_WIDTH}}" for name in names)
    ratios = ""
    for name in ours(names):
        missed = {what for what, value, most in checks(row, name, rows) if value > most}
        for other, value in ((LIMIT_NAME, best(row, LIMIT_NAME)), (peer and peer[0], peer and peer[1])):
            known = ratio(row, name, value)
            text = "-" if known is None else f"{known:.2f}"
            # A target against a named peer or another row is shown at the peer's ratio.
            mark = "!" if other in missed or (other != LIMIT_NAME and missed - {LIMIT_NAME}) else " "
            ratios += f"{text + mark:>{RATIO_WIDTH + 6}}"
    return f"{row['cell'].name:<{NAME_WIDTH}}{cells}{peer[0] if peer else '-':>{RATIO_WIDTH}}{ratios}".rstrip()


def geometric_mean(rows: list[dict], name: str) -> float | None:
    """Return the geometric mean of `name`'s ratios to the best peer; None if there are none."""
    ratios = [ratio(row, name, peer[1]) for row in rows if (peer := best_peer(row))]
    known = [each for each in ratios if each]
    return math.exp(statistics.fmean(map(math.log, known))) if known else None


def markdown(rows: list[dict], names: list[str]) -> str:
    """Return a table for a page: the best figures in microseconds, and our ratios to C and to the best peer."""
    titles = ["CPU µs per operation", *names, *(f"{name} / {other}" for name in ours(names) for other in ("C", "peer"))]
    lines = [markdown_line(titles), "|---|" + "---:|" * (len(titles) - 1)]
    for row in rows:
        peer = best_peer(row)
        texts = ["-" if (figure := best(row, name)) is None else short(figure) for name in names]
        for name in ours(names):
            for other in (best(row, LIMIT_NAME), peer and peer[1]):
                known = ratio(row, name, other)
                texts.append("-" if known is None else f"{known:.2f}")
        lines.append(markdown_line([row["cell"].name, *texts]))
    return "\n".join(lines) + "\n"


def markdown_line(texts: list[str]) -> str:
    """Return one line of a table for a page."""
    return "| " + " | ".join(texts) + " |"
