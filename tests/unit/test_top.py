"""`ferrio top`: driven by textual's own pilot against real programs, and once in a real terminal."""

import asyncio
import os
import re
import shutil
import subprocess
import sys

import pytest
from tests.unit import seen

import ferrio
from ferrio.cli import programs

pytest.importorskip("textual", reason="textual isn't installed")

from textual.widgets import DataTable, Input, Static

from ferrio.cli.top import Top
from ferrio.cli.watching import Watching

# Each test starts several Pythons, one after the other.
pytestmark = pytest.mark.timeout(180)


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """A place of this test's own, where programs meet."""
    directory = tmp_path / "run"
    directory.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(directory))
    return directory


def look_at(*pids):
    return Watching([programs.open_program(pid) for pid in pids])


def drive(steps, watching=None, **options):
    """Runs `ferrio top` without a terminal, and `steps(app, pilot)` in it."""

    async def main():
        app = Top(watching, interval=3600, **options)
        async with app.run_test(size=(80, 24)) as pilot:
            await until(pilot, lambda: app._table.row_count > 0 or watching is None)
            await steps(app, pilot)

    ferrio.run(main())


async def until(pilot, condition):
    while not condition():
        await pilot.app.look_now()
        await pilot.pause()


def column(app, title):
    """The cells of a column, from above."""
    table = app.query_one("#table", DataTable)
    titles = [str(each.label).rstrip("▼▲") for each in table.ordered_columns]
    at = titles.index(title)
    return [str(table.get_row_at(row)[at]) for row in range(table.row_count)]


def text(app, name):
    return str(app.query_one(name, Static).render())


def test_the_table():
    async def steps(app, pilot):
        waits = dict(zip(column(app, "NAME"), column(app, "WAITS FOR"), strict=True))
        assert waits["consumer"] == "Queue.get: Queue with 0 of 3 items"
        assert waits["waiter"] == "async with: Lock, held by 'holder'"
        assert f"Process {program.pid}:" in text(app, "#summary")
        assert "8 tasks" in text(app, "#summary")
        # The busiest is first.
        await until(pilot, lambda: column(app, "NAME")[0] == "counter" and column(app, "BUSY")[0] != "0")

    with seen.program(seen.WAITS) as program:
        drive(steps, look_at(program.pid))


def test_sorting():
    async def steps(app, pilot):
        orders = []
        for _ in range(10):
            await pilot.press("s")
            await pilot.pause()
            orders.append(app._sort)
            assert sum("▼" in str(c.label) or "▲" in str(c.label) for c in app._table.ordered_columns) == 1
        assert len(set(orders)) == 10
        await app._sort_by("name")
        names = column(app, "NAME")
        assert names == sorted(names)
        await pilot.press("r")
        await until(pilot, lambda: column(app, "NAME") == names[::-1])

    with seen.program(seen.WAITS) as program:
        drive(steps, look_at(program.pid))


def test_filtering():
    async def steps(app, pilot):
        await pilot.press("slash", *"queue", "enter")
        await until(pilot, lambda: column(app, "NAME") == ["consumer"])
        assert "filter 'queue'" in text(app, "#summary")
        await pilot.press("escape")
        await until(pilot, lambda: len(column(app, "NAME")) == 8)
        assert not app.query_one("#filter", Input).display

    with seen.program(seen.WAITS) as program:
        drive(steps, look_at(program.pid))


def test_the_tree():
    async def steps(app, pilot):
        await pilot.press("t")
        await until(pilot, lambda: "└─ holder" in column(app, "NAME"))
        names = column(app, "NAME")
        assert names[names.index("└─ holder") - 1] == "waiter"
        await pilot.press("t")
        await until(pilot, lambda: "holder" in column(app, "NAME"))

    with seen.program(seen.WAITS) as program:
        drive(steps, look_at(program.pid))


def test_the_stack_of_a_task():
    async def steps(app, pilot):
        table = app._table
        table.move_cursor(row=column(app, "NAME").index("consumer"))
        await pilot.press("enter")
        await until(pilot, lambda: "Queue.get" in text(app, "#stack"))
        assert "consumer (consume): waiting" in text(app, "#stack")
        assert "in consume" in text(app, "#stack")
        # The cursor stays with the task.
        await pilot.press("r")
        await pilot.pause()
        assert column(app, "NAME")[table.cursor_row] == "consumer"
        await pilot.press("escape")
        await pilot.pause()
        assert not app.query_one("#details").display

    with seen.program(seen.WAITS) as program:
        drive(steps, look_at(program.pid))


def test_pausing():
    async def steps(app, pilot):
        await pilot.press("p")
        await until(pilot, lambda: "PAUSED" in text(app, "#summary"))
        before = app._look
        await app._tick()
        assert app._paused
        await pilot.press("space")
        await until(pilot, lambda: app._look is not before)
        assert "PAUSED" not in text(app, "#summary")

    with seen.program(seen.WAITS) as program:
        drive(steps, look_at(program.pid))


def test_the_end_of_a_program_and_its_return():
    async def steps(app, pilot):
        program.stdin.write("\n")
        program.stdin.flush()
        await asyncio.to_thread(program.wait)
        await until(pilot, lambda: "has ended" in text(app, "#summary"))
        assert len(column(app, "NAME")) == 8, "what was seen last stays"
        with seen.program(seen.WAITS) as again:
            await until(pilot, lambda: f"Process {again.pid}:" in text(app, "#summary"))
            await until(pilot, lambda: "has ended" not in text(app, "#summary"))

    with seen.program(seen.WAITS) as program:
        drive(steps, look_at(program.pid))


def test_choosing_a_program():
    async def steps(app, pilot):
        await until(pilot, lambda: {str(one.pid), str(other.pid)} <= set(column(app, "PID")))
        app._table.move_cursor(row=column(app, "PID").index(str(other.pid)))
        await pilot.press("enter")
        await until(pilot, lambda: app._look is not None)
        assert f"Process {other.pid}:" in text(app, "#summary")
        await pilot.press("escape")
        await until(pilot, lambda: app._watching is None and "PROGRAM" in app._shown)
        app._table.move_cursor(row=0)
        assert column(app, "PROGRAM")[0] == "all programs"
        await pilot.press("enter")
        await until(pilot, lambda: app._look is not None and {str(one.pid), str(other.pid)} <= set(column(app, "PID")))

    with seen.program(seen.WAITS) as one, seen.program(seen.WAITS) as other:
        drive(steps)


def test_many_processes():
    async def steps(app, pilot):
        assert set(column(app, "PID")) == {str(one.pid), str(other.pid)}
        assert sorted(column(app, "NAME")).count("consumer") == 2
        await pilot.press("t")
        await until(pilot, lambda: column(app, "NAME").count("└─ holder") == 2)

    with seen.program(seen.WAITS) as one, seen.program(seen.WAITS) as other:
        drive(steps, look_at(one.pid, other.pid))


def test_quitting():
    async def steps(app, pilot):
        await pilot.press("q")
        await pilot.pause()
        assert not app.is_running

    with seen.program(seen.WAITS) as program:
        drive(steps, look_at(program.pid))


def test_without_textual():
    code = "import sys; sys.modules['textual'] = None; sys.argv[1:] = ['top']; from ferrio.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "ferrio top: textual draws it, and isn't installed: pip install 'ferrio[top]'\n"


@pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux, a terminal without a screen, isn't installed")
@pytest.mark.parametrize("environment", [{}, {"NO_COLOR": "1"}], ids=["colour", "no colour"])
def test_in_a_terminal(tmp_path, environment):
    def tmux(*arguments):
        command = ["tmux", "-f", "/dev/null", "-S", str(tmp_path / "tmux"), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=variables)
        return done.stdout

    variables = {**os.environ, **environment, "LC_ALL": "C.UTF-8", "TERM": "xterm-256color"}
    with seen.program(seen.WAITS) as program:
        status = tmp_path / "status"
        command = f"{sys.executable} -m ferrio top {program.pid} --interval 0.2; echo $? > {status}"
        tmux("new-session", "-d", "-x", "80", "-y", "24", command)
        try:
            expected = (f"Process {program.pid}:", "consumer", "Queue.get", "Quit")
            while not all(words in tmux("capture-pane", "-p") for words in expected):
                assert not status.exists(), "it ended"
            if environment:
                colours = re.findall(r"[34]8;2;(\d+);(\d+);(\d+)", tmux("capture-pane", "-p", "-e"))
                assert all(len(set(colour)) == 1 for colour in colours), "only shades of grey"
            tmux("send-keys", "q")
            while not status.exists() or not status.read_text():
                pass
            assert status.read_text() == "0\n"
        finally:
            tmux("kill-server")
