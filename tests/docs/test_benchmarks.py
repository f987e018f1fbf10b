"""The benchmarks page shows the figures stored beside it, and `publish` turns a run's file into them."""

import json
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# The rows of README.md, as the benchmarks name them.
ROWS_OF_README = {
    "create, await a task": ("programs", "create and await a task"),
    "a `Queue`, to and fro": ("programs", "Queue ping-pong"),
    "`to_thread`": ("programs", "to_thread, 20,000 at once"),
    "uvicorn, a request": ("servers", "HTTP uvicorn x 50"),
    "aiohttp, a request": ("servers", "HTTP aiohttp x 50"),
    "a stream's 1 KiB": ("servers", "streams, 1 KiB x 50"),
    "TLS, 100 KiB": ("servers", "TLS streams, 100 KiB x 50"),
    "one client, 10 KiB": ("servers", "protocol, 10 KiB x 1"),
}
# What the rows of each kind say about the clock that judges them.
JUDGED = {"programs": {"judged": "wall"}, "servers": {}, "libraries": {"judged": "cpu"}}
sys.path.insert(0, str(ROOT / "benches"))

import plot  # noqa: E402 - found by the line above
import publish  # noqa: E402

README = (ROOT / "README.md").read_text()


@pytest.fixture(params=publish.KINDS)
def kind(request):
    return request.param


def run_of(kind, **facts):
    """Returns what `--json` writes: `benches/run.py`, `benches/net/run.py`, `benches/programs/run.py`."""
    results = {
        "programs": {"asyncio": {"wall": [900.0, 800.0], "cpu": [1, 1]}, "ferrio": {"wall": [100.0], "cpu": [1]}},
        "servers": {"asyncio": [{"cpu_ns": 9000.0}, {"cpu_ns": 8000.0}], "ferrio": [{"cpu_ns": 1000.0}]},
        "libraries": {
            "asyncio": {"wall": [1, 1], "cpu": [9000.0, 8000.0]},
            "ferrio": {"wall": [1], "cpu": [1000.0]},
        },
    }[kind] | {"uvloop": {"error": "ImportError"}}
    row = {"name": "a job", "results": results} | JUDGED[kind]
    implementations = {"asyncio": "of the interpreter", "uvloop": "1.0", "rloop": "1.0", "ferrio": "0.1"}
    about = {"python": "3.13.0", "machine": {}, "date": "2026-01-01T00:00:00", "rounds": 2, "quick": False, "only": ""}
    run = about | {"implementations": implementations, "chosen implementations": None, "rows": [row]}
    return run | facts


def test_page_and_pictures_show_the_stored_figures(kind, monkeypatch, tmp_path):
    figures = json.loads((publish.FOLDER / f"{kind}.json").read_text())
    page = tmp_path / "benchmarks.md"
    page.write_text(publish.PAGE.read_text())
    stored = publish.FOLDER
    monkeypatch.setattr(publish, "PAGE", page)
    monkeypatch.setattr(publish, "FOLDER", tmp_path)
    publish.draw(kind, figures)
    publish.write_page(kind, figures)
    assert page.read_text() == (ROOT / "docs" / "benchmarks.md").read_text()
    for theme in plot.THEMES:
        assert (tmp_path / f"{kind}-{theme}.svg").read_text() == (stored / f"{kind}-{theme}.svg").read_text()


def test_best_round_counts_and_failures_are_left_out(kind):
    figures = publish.reduced(run_of(kind), kind)
    ours = 100.0 if kind == "programs" else 1.0
    assert figures["rows"][0]["figures"] == {"asyncio": 8 * ours, "ferrio": ours}


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({}, ""),
        ({"quick": True}, "the run was a quick one"),
        ({"only": "queue"}, "the run was a part of the whole"),
        ({"chosen implementations": "ferrio"}, "the run was a part of the whole"),
        ({"implementations": {"asyncio": "", "ferrio": "0.1", "rloop": ""}}, "uvloop didn't run"),
        ({"left out": ["redis: not here"]}, "rows were left out, because a service isn't on this machine"),
    ],
    ids=["whole", "quick", "some rows", "some implementations", "a peer missing", "a service missing"],
)
def test_only_complete_runs_reach_the_page(kind, facts, reason):
    assert publish.reason_to_keep(run_of(kind, **facts), kind) == reason


def test_rloop_is_needed_in_those_comparisons_that_have_it():
    implementations = {"asyncio": "", "uvloop": "", "ferrio": "0.1"}
    without = {
        kind: publish.reason_to_keep(run_of(kind, implementations=implementations), kind) for kind in publish.KINDS
    }
    assert without == {"programs": "rloop didn't run", "servers": "rloop didn't run", "libraries": ""}


@pytest.mark.parametrize("names", [("ferrio", "asyncio"), tuple(plot.LIGHT.marks)], ids=["few", "all"])
def test_the_names_fit_into_the_picture(names):
    picture = plot.dot_plot("", [("a job", dict.fromkeys(names, 1.0))], plot.LIGHT)
    places = re.findall(r'<text x="([\d.]+)" y="22.5"[^>]*>(.*?)</text>', picture)
    assert len(places) == len(names)
    assert all(float(x) + 7.6 * len(title) <= plot.WIDTH for x, title in places)


def test_losses_are_named():
    rows = [
        {"name": "won", "judged": "wall", "figures": {"uvloop": 2.0, "ferrio": 1.0}},
        {"name": "lost", "judged": "wall", "figures": {"uvloop": 1.0, "ferrio": 2.0}},
        {"name": "only shown", "judged": None, "figures": {"uvloop": 1.0, "ferrio": 2.0}},
    ]
    assert publish.losses({"rows": rows}) == ["- lost: uvloop takes 0.50 of ferrio's time."]


def test_readme_shows_the_stored_figures():
    shown = re.findall(r"^\| (.*?) \| ([\d.]+) \| \**([\d.]+)\** \| \**([\d.]+)\** \|$", README, re.MULTILINE)
    assert [label for label, *_ in shown] == list(ROWS_OF_README)
    for label, *figures in shown:
        kind, name = ROWS_OF_README[label]
        rows = json.loads((publish.FOLDER / f"{kind}.json").read_text())["rows"]
        stored = next(row["figures"] for row in rows if row["name"] == name)
        unit = 1000 if kind == "programs" else 1
        expected = [stored[each] / unit for each in ("asyncio", "uvloop", "ferrio")]
        assert figures == [f"{each:.1f}" if each < 100 else f"{each:.0f}" for each in expected], label


def test_readme_has_a_row_that_ferrio_loses():
    # The table says that it is honest.
    last = [float(each.strip("* ")) for each in README.partition("| one client")[2].partition("|\n")[0].split("|")[1:]]
    assert min(last) != last[-1]
