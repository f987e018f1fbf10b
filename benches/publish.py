"""Puts the figures of a comparison into the documentation: docs/benchmarks.md, and docs/benchmarks/ with its plots.

    python benches/publish.py programs target/programs.json      what benches/run.py --json wrote
    python benches/publish.py servers target/servers.json        what benches/net/run.py --json wrote
    python benches/publish.py libraries target/libraries.json    what benches/programs/run.py --json wrote

`make bench`, `make bench-net` and `make bench-programs` call it. For each kind, docs/benchmarks/ has one JSON file with
a row on each line, and two pictures, for light and for dark pages. Without a second argument, everything is redrawn
from the JSON file. In docs/benchmarks.md it writes only between the marks.

Invariant: only complete runs get there. A run with --only, --quick or --impls is shown only on the terminal.
"""

import json
import re
import sys
from pathlib import Path

import plot

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "benchmarks.md"
FOLDER = ROOT / "docs" / "benchmarks"
KINDS = {
    # The unit of the page, and how many nanoseconds it is.
    "programs": ("nanoseconds per operation", 1.0),
    "servers": ("server CPU microseconds per operation", 1000.0),
    "libraries": ("CPU microseconds of the whole program per operation", 1000.0),
}
# Without these a run isn't complete. From Python 3.14 on, others join.
NEEDED = {
    "programs": ("asyncio", "uvloop", "rloop", "ferrio"),
    "servers": ("asyncio", "uvloop", "rloop", "ferrio"),
    "libraries": ("asyncio", "uvloop", "ferrio"),
}
OURS = ("ferrio", "ferrio-std")
# The remark beside a row's name, by the clock that judges it; one row isn't judged (benches/README.md).
REMARKS = {"cpu": " (CPU time)", None: " (not compared: less than the requested 100,000 is too early)"}
# The servers' rows that the pictures show; the table has the rows between them.
PICTURED = re.compile(r" x 50$|^UDP, 8|^(?!.* x \d+$)")


def main() -> int:
    """Run the command; returns the exit status."""
    if len(sys.argv) not in (2, 3) or sys.argv[1] not in KINDS:
        print(__doc__, file=sys.stderr)
        return 2
    kind = sys.argv[1]
    stored = FOLDER / f"{kind}.json"
    if len(sys.argv) == 3:
        run = json.loads(Path(sys.argv[2]).read_text())
        why = reason_to_keep(run, kind)
        if why:
            print(f"docs/benchmarks.md stays as it is: {why}")
            return 0
        FOLDER.mkdir(exist_ok=True)
        stored.write_text(one_row_a_line(reduced(run, kind)))
    figures = json.loads(stored.read_text())
    draw(kind, figures)
    write_page(kind, figures)
    print(f"wrote docs/benchmarks.md and docs/benchmarks/{kind}*")
    return 0


def reason_to_keep(run: dict, kind: str) -> str:
    """Returns why a run isn't for that part of the page; "" if it is."""
    if run["quick"]:
        return "the run was a quick one"
    if run["only"] or run["chosen implementations"]:
        return "the run was a part of the whole"
    if run.get("left out"):
        return "rows were left out, because a service isn't on this machine"
    missing = set(NEEDED[kind]) - set(run["implementations"])
    return f"{', '.join(sorted(missing))} didn't run" if missing else ""


def reduced(run: dict, kind: str) -> dict:
    """Returns what the page needs of a run: the facts, and the best figure of each implementation in each row."""
    facts = {name: run[name] for name in ("python", "implementations", "machine", "date", "rounds")}
    rows = []
    for row in run["rows"]:
        clock = row.get("judged") or "wall"
        figures = {}
        for name, result in row["results"].items():
            rounds = result.get(clock, []) if kind != "servers" and "error" not in result else result
            if kind == "servers" and isinstance(result, list):
                rounds = [each["cpu_ns"] for each in result]
            if isinstance(rounds, list) and rounds:
                figures[name] = round(min(rounds) / KINDS[kind][1], 2)
        rows.append({"name": row["name"], "judged": row.get("judged", "cpu"), "figures": figures})
    return {"facts": facts, "rows": rows}


def one_row_a_line(figures: dict) -> str:
    """Returns the JSON of a kind, formatted so that two runs can be compared with diff."""
    rows = ",\n".join("  " + json.dumps(row) for row in figures["rows"])
    return f'{{\n "facts": {json.dumps(figures["facts"], indent=2)},\n "rows": [\n{rows}\n ]\n}}\n'


def draw(kind: str, figures: dict) -> None:
    """Writes the two pictures of a kind."""
    rows = [
        (row["name"], row["figures"])
        for row in figures["rows"]
        if "ferrio" in row["figures"] and row["judged"] and (kind != "servers" or PICTURED.search(row["name"]))
    ]
    for name, theme in plot.THEMES.items():
        (FOLDER / f"{kind}-{name}.svg").write_text(plot.dot_plot(f"ferrio and others, {kind}", rows, theme))


def write_page(kind: str, figures: dict) -> None:
    """Writes one kind's part of the page."""
    text = PAGE.read_text()
    begin, end = f"<!-- {kind}: written by benches/publish.py -->", f"<!-- end of {kind} -->"
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    if not rest or not after:
        sys.exit(f"{PAGE} has no part between {begin!r} and {end!r}")
    PAGE.write_text(before + begin + "\n" + "\n".join(part(kind, figures)) + "\n" + end + after)


def part(kind: str, figures: dict) -> list[str]:
    """Returns the lines of that part: machine, picture, table, losses."""
    facts = figures["facts"]
    names = list(dict.fromkeys(name for row in figures["rows"] for name in row["figures"]))
    order = ["C", "asyncio", "uvloop", "rloop", "zuvloop", "rsloop", "ferrio", "ferrio-std"]
    names.sort(key=order.index)
    titles = [plot.TITLES.get(name, name) for name in names]
    unit = f"CPU {KINDS[kind][0]}" if kind == "programs" and clocks(figures) == {"cpu"} else KINDS[kind][0]
    lines = [
        "",
        machine(facts),
        "",
        "<picture>",
        f'<source media="(prefers-color-scheme: dark)" srcset="benchmarks/{kind}-dark.svg">',
        f'<img src="benchmarks/{kind}-light.svg" alt="{kind}: each implementation beside ferrio">',
        "</picture>",
        "",
        f"{unit[:1].upper()}{unit[1:]}, the best round of each; bold: the least (C aside).",
        "",
        f"| | {' | '.join(titles)} |",
        "|---|" + "---:|" * len(names),
    ]
    common = clocks(figures) if len(clocks(figures)) == 1 else set()
    for row in figures["rows"]:
        known = {name: figure for name, figure in row["figures"].items() if name != "C"}
        least = min(known.values()) if row["judged"] else None
        cells = [cell(row["figures"].get(name), least if name != "C" else None) for name in names]
        remark = REMARKS.get(row["judged"], "") if kind == "programs" and row["judged"] not in common else ""
        lines.append(f"| {row['name']}{remark} | {' | '.join(cells)} |")
    return [*lines, "", "**Where another one is faster than ferrio.**", "", *losses(figures), ""]


def clocks(figures: dict) -> set[str]:
    """Returns the clocks that judge a comparison's rows: only "cpu" after `benches/run.py --by cpu`."""
    return {row["judged"] for row in figures["rows"] if row["judged"]}


def machine(facts: dict) -> str:
    """Returns the sentence that says where the figures come from."""
    machine = facts["machine"]
    versions = ", ".join(
        f"{name} {version}" for name, version in facts["implementations"].items() if version[0].isdigit()
    )
    kernel = f", Linux {machine['kernel']}" if machine.get("kernel") else ""
    said = f"{machine['processors']} × {machine['processor']}{kernel}; Python {facts['python']}; {versions}; "
    return f"{said}{facts['rounds']} rounds, {facts['date'][:10]}.{facts.get('note', '')}"


def losses(figures: dict) -> list[str]:
    """Returns a line for each row in which a peer is faster than ferrio's own names."""
    lines = []
    for row in figures["rows"]:
        own = row["figures"].get("ferrio")
        peers = {name: figure for name, figure in row["figures"].items() if name not in (*OURS, "C")}
        best = min(peers, key=peers.__getitem__, default=None)
        if own is not None and best is not None and row["judged"] and peers[best] < own:
            lines.append(f"- {row['name']}: {best} takes {peers[best] / own:.2f} of ferrio's time.")
    return lines or ["None in this run."]


def cell(figure: float | None, least: float | None) -> str:
    """Returns a figure as the table shows it."""
    if figure is None:
        return ""
    text = f"{figure:,.0f}" if figure >= 100 else f"{figure:.3g}"
    return f"**{text}**" if figure == least else text


if __name__ == "__main__":
    sys.exit(main())
