"""`ferrio top`: a live table of the tasks of running programs. textual draws it.

`watching` has the data, in a thread; here is what is shown of it, and the keys.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import DataTable, Footer, Input, Static

import ferrio
from ferrio.cli import programs, tables
from ferrio.cli.watching import Look, Process, Watching

__all__ = ("Top", "show")

# How many tasks are shown at most.
_LIMIT = 200

# How much of a command line is shown.
_TITLE = 30

_Key = tuple[int, int, int]

# The columns: the agent's name, the title, and the greatest width.
_COLUMNS = (
    ("pid", "PID", None),
    ("loop", "LOOP", None),
    ("id", "ID", None),
    ("name", "NAME", 20),
    ("coroutine", "COROUTINE", 16),
    ("state", "STATE", None),
    ("busy", "BUSY", None),
    ("scheduled", "SCHED", None),
    ("idle", "IDLE", None),
    ("age", "AGE", None),
    ("polls", "POLLS", None),
    ("wakes", "WAKES", None),
    ("waits", "WAITS FOR", 120),
)

# On terminals narrower than this some columns are left out; the details of a task have them.
_WIDE = 110
_ON_WIDE = ("scheduled", "idle", "age", "wakes")

# By which columns the table can be sorted, in the order of the key.
_SORTED = tuple(name for name, _title, _width in _COLUMNS if name not in ("pid", "loop"))

_STYLES = {"running": "bold green", "scheduled": "yellow", "done": "dim"}


class Top(App[None]):
    """The whole screen: the programs to choose from, or the tasks of those that were chosen."""

    TITLE = "ferrio top"
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #summary { height: auto; max-height: 6; background: $panel; padding: 0 1; }
    #filter { height: 1; border: none; padding: 0 1; display: none; }
    #table { height: 1fr; }
    #details { height: auto; max-height: 45%; border-top: solid $primary; padding: 0 1; display: none; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "Quit"),
        Binding("slash", "filter", "Filter", key_display="/"),
        Binding("s", "sort", "Sort"),
        Binding("r", "reverse", "Reverse"),
        Binding("t", "tree", "Tree"),
        Binding("p,space", "pause", "Pause"),
        Binding("enter", "open", "Stack", priority=True),
        Binding("escape", "back", "Back"),
    ]

    def __init__(self, watching: Watching | None = None, interval: float = 1.0, sort: str = "busy", text: str = ""):
        super().__init__()
        self._watching = watching
        self._chosen_from_list = watching is None
        self._offered: list[programs.Program] = []
        self._interval = interval
        self._sort = sort
        self._reverse = sort in tables.GREATEST_FIRST
        self._text = text
        self._as_tree = False
        self._paused = False
        self._details: _Key | None = None
        self._look: Look | None = None
        self._rows: dict[str, Mapping[str, Any]] = {}
        self._shown: tuple[str, ...] = ()
        # Held while programs are asked, so that requests and replies don't mix.
        self._asking = asyncio.Lock()
        self._moved = False

    def compose(self) -> ComposeResult:
        """The parts, from above."""
        yield Static(id="summary", markup=False)
        yield Input(placeholder="only tasks whose line has these words", id="filter", value=self._text)
        table: DataTable[Any] = DataTable(id="table", cursor_type="row", zebra_stripes=True)
        yield table
        with VerticalScroll(id="details"):
            yield Static(id="stack", markup=False)
        yield Footer()

    async def on_mount(self) -> None:
        """Begins to look."""
        self._table.focus()
        self.query_one("#filter").display = bool(self._text)
        self.set_interval(self._interval, self._tick)
        await self._tick()

    async def on_unmount(self) -> None:
        """Ends all connections."""
        async with self._asking:
            if self._watching is not None:
                self._watching.close()
            self._close_offered()

    @property
    def _table(self) -> DataTable[Any]:
        return self.query_one("#table", DataTable)

    async def _tick(self) -> None:
        """Looks again, unless the last look goes on, or the table is paused."""
        if not self._paused and not self._asking.locked():
            await self.look_now()

    async def look_now(self) -> None:
        """Asks the programs and draws what they say."""
        async with self._asking:
            if self._watching is None:
                self._close_offered()
                self._offered = await asyncio.to_thread(programs.running)
            else:
                request = {"sort": self._sort, "reverse": self._reverse, "limit": _LIMIT, "filter": self._text}
                self._look = await asyncio.to_thread(self._watching.look, request)
        if self._watching is None:
            self._draw_programs()
        elif self._look is not None:
            self._draw(self._look)
            if self._details is not None:
                await self._show_stack(self._details)

    # ---- the programs

    def _draw_programs(self) -> None:
        belongs = programs.roots(self._offered)
        rows: list[tuple[str, list[Any]]] = []
        for root in dict.fromkeys(belongs.values()):
            family = [program for program in self._offered if belongs[program.pid] == root]
            if len(family) > 1:
                pids = ",".join(str(program.pid) for program in family)
                rows.append((pids, ["", f"{programs.title(family[0].about)} and its processes", *_sums(family)]))
            for program in family:
                indent = "  " if len(family) > 1 else ""
                rows.append(
                    (str(program.pid), [str(program.pid), indent + programs.title(program.about), *_sums([program])])
                )
        if len(rows) > 1:
            rows.insert(0, ("all", ["", "all programs", *_sums(self._offered)]))
        self._fill(("PID", "PROGRAM", "PYTHON", "LOOPS", "TASKS", "UP"), rows)
        self._say(
            "Choose a program, and press Enter."
            if rows
            else "No program can be seen. Start one by `python -m ferrio --sight app.py`."
        )

    async def _choose(self, key: str) -> None:
        async with self._asking:
            if key == "all":
                self._watching = Watching(self._offered, everything=True)
            else:
                pids = {int(pid) for pid in key.split(",")}
                self._watching = Watching([program for program in self._offered if program.pid in pids])
                for program in self._offered:
                    if program.pid not in pids:
                        program.close()
            self._offered = []
        await self.look_now()

    def _close_offered(self) -> None:
        for program in self._offered:
            program.close()
        self._offered = []

    # ---- the tasks

    def _draw(self, look: Look) -> None:
        self._say("\n".join(self._summary(look)))
        many = len(look.processes) > 1
        loops = max((len(process.reply["loops"]) for process in look.processes), default=0)
        columns = [
            (name, title, width)
            for name, title, width in _COLUMNS
            if (name != "pid" or many) and (name != "loop" or loops > 1) and self._has_room_for(name)
        ]
        arrow = "▼" if self._reverse else "▲"
        titles = tuple(
            title + (arrow if name == self._sort and not self._as_tree else "") for name, title, _ in columns
        )
        rows = []
        self._rows = {}
        for before, row in self._ordered(look.rows):
            key = _text_of(row)
            while key in self._rows:  # the tree may have a task at several places
                key += "+"
            self._rows[key] = row
            rows.append((key, [_cell(row, name, width, before) for name, _title, width in columns]))
        self._fill(titles, rows)

    def _has_room_for(self, name: str) -> bool:
        """Whether a column is shown: on a narrow terminal, only what must be, and what the table is sorted by."""
        return self.size.width >= _WIDE or name not in _ON_WIDE or name == self._sort

    def _ordered(self, rows: Sequence[dict[str, Any]]) -> list[tuple[str, Mapping[str, Any]]]:
        if not self._as_tree:
            return [("", row) for row in rows]
        found: list[tuple[str, Mapping[str, Any]]] = []
        for pid in dict.fromkeys(row["pid"] for row in rows):
            tree = tables.grown([row for row in rows if row["pid"] == pid])
            found += [(before, branch.row) for before, branch in tables.branches(tree)]
        return found

    def _summary(self, look: Look) -> list[str]:
        lines = [_process_line(process) for process in look.processes[:3]]
        if len(look.processes) > 3:
            lines.append(f"and {len(look.processes) - 3} more processes")
        lines += [_loop_line(loop) for process in look.processes[:1] for loop in process.reply["loops"][:2]]
        reports = [process.reply["watchdog"] for process in look.processes if process.reply["watchdog"]]
        if reports:
            report = min(reports, key=lambda each: float(each["ago"]))
            lines.append(f"Watchdog, {tables.times(report['ago'])} ago: {report['text'].partition(chr(10))[0]}")
        state = [f"{len(look.rows)} of {look.matching} tasks" if len(look.rows) < look.matching else ""]
        state += [f"filter {self._text!r}" if self._text else "", "PAUSED" if self._paused else ""]
        words = ", ".join(word for word in state if word)
        return [*lines, words] if words else lines

    # ---- the table

    def _fill(self, titles: tuple[str, ...], rows: Sequence[tuple[str, Sequence[Any]]]) -> None:
        """Shows these rows; the cursor and the position stay where they were."""
        table = self._table
        at = self._key_at_cursor()
        place = table.scroll_offset
        if titles != self._shown:
            table.clear(columns=True)
            table.add_columns(*titles)
            self._shown = titles
        else:
            table.clear()
        for key, cells in rows:
            table.add_row(*cells, key=key)
        if at is not None and at in (key for key, _cells in rows):
            table.move_cursor(row=table.get_row_index(at), animate=False, scroll=False)
            table.scroll_to(place.x, place.y, animate=False)

    def _key_at_cursor(self) -> str | None:
        table = self._table
        if not table.row_count:
            return None
        return table.coordinate_to_cell_key(table.cursor_coordinate).row_key.value

    def _say(self, text: str) -> None:
        width = max(20, self.size.width - 2)
        lines = [tables.brief(line, width) for line in text.split("\n")]
        self.query_one("#summary", Static).update("\n".join(lines))

    async def _show_stack(self, key: _Key) -> None:
        row = self._rows.get(":".join(map(str, key)))
        if row is None or self._watching is None:
            text = "The task has ended."
        else:
            async with self._asking:
                reply = await asyncio.to_thread(self._watching.stack, row)
            text = "The task has ended." if reply.get("gone") else _details(row, reply)
        self.query_one("#stack", Static).update(text)
        self.query_one("#details").display = True

    # ---- keys

    def action_filter(self) -> None:
        """Asks for words."""
        field = self.query_one("#filter", Input)
        field.display = True
        field.focus()

    async def on_input_changed(self, event: Input.Changed) -> None:
        """Filters while it is typed."""
        self._text = event.value

    async def on_input_submitted(self, event: Input.Submitted) -> None:
        """Back to the table."""
        event.input.display = bool(event.value)
        self._table.focus()
        await self.look_now()

    async def action_sort(self) -> None:
        """Sorts by the next column."""
        await self._sort_by(_SORTED[(_SORTED.index(self._sort) + 1) % len(_SORTED)])

    async def action_reverse(self) -> None:
        """The other way round."""
        self._reverse = not self._reverse
        await self.look_now()

    async def on_data_table_header_selected(self, event: DataTable.HeaderSelected) -> None:
        """Sorts by the column that was clicked; by the same one again, the other way round."""
        title = str(event.label).rstrip("▼▲")
        name = next((name for name, known, _width in _COLUMNS if known == title and name in _SORTED), None)
        if name is None or self._watching is None:
            return
        if name == self._sort:
            await self.action_reverse()
        else:
            await self._sort_by(name)

    async def _sort_by(self, name: str) -> None:
        self._sort, self._reverse = name, name in tables.GREATEST_FIRST
        await self.look_now()

    async def action_tree(self) -> None:
        """Shows who waits for whom, or the table."""
        self._as_tree = not self._as_tree
        await self.look_now()

    async def action_pause(self) -> None:
        """Stands still, or goes on."""
        self._paused = not self._paused
        if self._paused and self._look is not None:
            self._draw(self._look)
        elif not self._paused:
            await self.look_now()

    async def action_open(self) -> None:
        """Enter: chooses a program, or shows the stack of a task. In the filter, it ends that."""
        field = self.query_one("#filter", Input)
        if field.has_focus:
            await field.action_submit()
            return
        key = self._key_at_cursor()
        if key is None:
            return
        if self._watching is None:
            await self._choose(key)
        else:
            pid, loop, number = map(int, key.rstrip("+").split(":"))
            self._details = (pid, loop, number)
            await self._show_stack(self._details)

    async def action_back(self) -> None:
        """Escape: closes the filter, the stack, or the tasks, whichever is open."""
        field = self.query_one("#filter", Input)
        if field.has_focus or field.display:
            field.value = ""
            self._text = ""
            field.display = False
            self._table.focus()
            await self.look_now()
        elif self._details is not None:
            self._details = None
            self.query_one("#details").display = False
        elif self._chosen_from_list and self._watching is not None:
            async with self._asking:
                self._watching.close()
                self._watching, self._look = None, None
            await self.look_now()


def _text_of(row: Mapping[str, Any]) -> str:
    return f"{row['pid']}:{row['loop']}:{row['id']}"


def _cell(row: Mapping[str, Any], name: str, width: int | None, before: str) -> Text:
    if name in ("busy", "scheduled", "idle"):
        return Text(tables.times(row[name]), justify="right")
    if name == "age":
        return Text(tables.age(row), justify="right")
    if name == "waits":
        return Text(tables.brief(tables.waits(row), width))
    if name == "name":
        return Text(before + tables.brief(row["name"], width))
    text = tables.brief(str(row[name]), width)
    if name == "state":
        return Text(text, style=_STYLES.get(text, ""))
    return Text(text, justify="left" if name == "coroutine" else "right")


def _process_line(process: Process) -> str:
    about, title = process.reply["process"], tables.brief(process.title, _TITLE)
    if process.problem is not None:
        return f"{process.problem} What was seen last of {title}:"
    cpu = "" if process.cpu is None else f", CPU {process.cpu:.0%}"
    return (
        f"Process {process.pid}: {title}, Python {about['python']}, up {tables.times(about['uptime'])}{cpu}, "
        f"{tables.size(about['memory'])}, {about['threads']} threads"
    )


def _loop_line(loop: Mapping[str, Any]) -> str:
    busy = "" if loop["busy"] is None else f"busy {loop['busy']:.0%}, "
    where = f"in {loop['thread']}" if loop["running"] else "doesn't run"
    return (
        f"Loop {loop['loop']} {where}: {busy}{loop['pending']} tasks, {loop['ready']} ready, {loop['timers']} timers, "
        f"{loop['descriptors']} descriptors"
    )


def _details(row: Mapping[str, Any], reply: Mapping[str, Any]) -> str:
    lines = [f"{tables.who(row)}: {row['state']}, {reply['waits']}"]
    if row["created"] or row["defined"]:
        made = f"created at {row['created']}" if row["created"] else "where it was created is known in debug mode"
        lines.append(f"Defined at {row['defined'] or 'an unknown place'}; {made}.")
    busy, scheduled, idle = (tables.times(row[name]) for name in ("busy", "scheduled", "idle"))
    lines.append(
        f"Busy {busy}, scheduled {scheduled}, idle {idle} since somebody looks. Age {tables.age(row)}, "
        f"{row['polls']} polls, {row['wakes']} wakes."
    )
    for title, entries in (("It is at:", reply["stack"]), ("It was created at:", reply["origin"])):
        if entries:
            lines.append(title)
        for entry in entries:
            lines.append(f"  {entry['file']}:{entry['line']} in {entry['function']}")
            if entry["text"]:
                lines.append(f"    {entry['text']}")
    return "\n".join(tables.brief(line, None) for line in lines)


def _sums(family: Sequence[programs.Program]) -> list[str]:
    loops = [loop for program in family for loop in program.about["loops"]]
    uptimes = [program.about["process"]["uptime"] or 0.0 for program in family]
    return [
        family[0].about["process"]["python"],
        str(len(loops)),
        str(sum(loop["pending"] for loop in loops)),
        tables.times(max(uptimes)),
    ]


def show(chosen: Any) -> int:
    """Shows the program `chosen.pid`, or a list to choose from, until the user quits. Returns the exit status."""
    watching = None
    if chosen.pid is not None:
        watching = Watching([programs.open_program(chosen.pid)])
    app = Top(watching, interval=max(0.1, chosen.interval), sort=chosen.sort or "busy", text=chosen.filter)
    ferrio.run(app.run_async())
    return app.return_code or 0
