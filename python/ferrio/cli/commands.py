"""The commands that look at other programs: `ferrio top`, `ferrio ps` and `ferrio tree`.

A word is a command only if it comes first. A file of that name is run by `ferrio ./ps` or `ferrio -- ps`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Sequence
from typing import Any

from ferrio.cli import options, programs, tables
from ferrio.sight import snapshot

__all__ = ("run",)

# A day; nobody waits longer for a table.
_LONGEST = 86400

_EPILOG = """\
Only programs of the same user can be seen; root sees all. A program can be seen if it was started by
`python -m ferrio --sight`, with FERRIO_SIGHT=1, or calls `ferrio.sight.serve()`; from Python 3.14 on, any that uses
ferrio. Exit status: 0; 1 if a program can't be seen; 2 for a wrong command line.
"""


class _UnwrittenError(Exception):
    """Standard output takes nothing."""


def run(arguments: Sequence[str]) -> int:
    """Does what the command line asks for, and returns the exit status."""
    command = arguments[0]
    if _is_program(command):
        options.complain(
            f"ferrio: `{command}` is a command, and a program here too. For the program, write `ferrio ./{command}`."
        )
    chosen = _parse(command, arguments[1:])
    try:
        if command == "top":
            return _show(chosen)
        return _list(chosen) if chosen.pid is None else _print(command, chosen)
    except programs.Unseen as error:
        options.complain(f"ferrio {command}: {error}")
        return 1
    except _UnwrittenError as error:
        options.complain(f"ferrio {command}: The output can't be written: {error}.")
        return 1
    except BrokenPipeError:  # `ferrio ps | head`
        return 1
    except KeyboardInterrupt:
        return 130


def _show(chosen: Any) -> int:
    try:
        from ferrio.cli import top
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in ("rich", "textual"):
            raise
        options.complain("ferrio top: textual draws it, and isn't installed: pip install 'ferrio[top]'")
        return 1
    return top.show(chosen)


def _is_program(name: str) -> bool:
    return os.path.isfile(name) or os.path.isfile(os.path.join(name, "__main__.py"))


def _parse(command: str, arguments: Sequence[str]) -> Any:
    about = {
        "ps": "Prints the tasks of a running program, or the programs that can be seen.",
        "tree": "Prints which tasks of a running program wait for which.",
        "top": "Shows the tasks of running programs, live. Its last line has the keys.",
    }[command]
    parser = argparse.ArgumentParser(
        prog=f"ferrio {command}",
        description=about,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("pid", nargs="?", type=int, metavar="PID", help="the number of the process")
    parser.add_argument("--filter", default="", metavar="TEXT", help="only tasks whose line has all words of TEXT")
    parser.add_argument("--limit", type=_count, default=1000, metavar="N", help="at most N tasks (1000)")
    if command != "tree":
        columns = tuple(snapshot.COLUMNS)
        parser.add_argument("--sort", choices=columns, default=None, metavar="COLUMN", help=", ".join(columns))
    if command == "top":
        parser.add_argument(
            "--interval", type=_seconds, default=1.0, metavar="SECONDS", help="the time between two tables (1)"
        )
    else:
        parser.add_argument("--json", action="store_true", help="print JSON")
        parser.add_argument(
            "--sample",
            type=_seconds,
            default=0.0,
            metavar="SECONDS",
            help="take samples for so long, to show how long tasks were busy, scheduled and idle",
        )
    return parser.parse_args(arguments)


def _count(text: str) -> int:
    if (count := int(text)) < 0:
        raise argparse.ArgumentTypeError(f"{count} is less than 0")
    return count


def _seconds(text: str) -> float:
    if not 0 <= (seconds := float(text)) <= _LONGEST:
        raise argparse.ArgumentTypeError(f"a number of seconds is needed, from 0 to {_LONGEST}, not {text}")
    return seconds


_count.__name__, _seconds.__name__ = "number", "number of seconds"  # for argparse's messages


def _list(chosen: Any) -> int:
    """Prints the programs that can be seen."""
    found = programs.running()
    belongs = programs.roots(found)
    ordered = sorted(found, key=lambda program: (belongs[program.pid], program.pid))
    if chosen.json:
        about = [{**program.about, "belongs_to": belongs[program.pid]} for program in ordered]
        _write([json.dumps(about, indent=2)])
    elif not ordered:
        _write(["No program can be seen. Start one by `python -m ferrio --sight`, or name a process."])
    else:
        rows = [["PID", "PROGRAM", "PYTHON", "FERRIO", "LOOPS", "TASKS", "UP"]]
        for program in ordered:
            process, loops = program.about["process"], program.about["loops"]
            with_another = belongs[program.pid] in (other.pid for other in ordered if other is not program)
            rows.append(
                [
                    str(program.pid),
                    ("  " if with_another else "") + programs.title(program.about),
                    process["python"],
                    process["ferrio"],
                    str(len(loops)),
                    str(sum(loop["pending"] for loop in loops)),
                    tables.times(process["uptime"]),
                ]
            )
        _write(tables.aligned(_narrowed(rows, 1), right=(0, 4, 5, 6), width=_width()))
    for program in found:
        program.close()
    return 0


def _print(command: str, chosen: Any) -> int:
    program = programs.open_program(chosen.pid)
    request = {
        "do": "tasks",
        "sort": getattr(chosen, "sort", None) or "id",
        "reverse": getattr(chosen, "sort", None) in tables.GREATEST_FIRST,
        "limit": chosen.limit,
        "filter": chosen.filter,
        "sample": chosen.sample > 0,
    }
    if chosen.sample > 0:
        program.ask({**request, "limit": 0})
        time.sleep(chosen.sample)
    reply = program.ask(request)
    program.close()
    if chosen.json:
        if command == "tree":
            reply["tree"] = [branch.as_data() for branch in tables.grown(reply.pop("tasks"))]
        _write([json.dumps(reply, indent=2)])
        return 0
    _write(_heading(reply))
    _write(_tree_lines(reply) if command == "tree" else _table_lines(reply, chosen.sample > 0))
    if reply["matching"] > len(reply["tasks"]):
        _write([f"and {reply['matching'] - len(reply['tasks'])} more; --limit shows more of them"])
    return 0


def _heading(reply: Any) -> list[str]:
    process, name = reply["process"], tables.brief(programs.title(reply), 60)
    lines = [
        f"Process {process['pid']}: {name}, Python {process['python']}, ferrio {process['ferrio']}, "
        f"up {tables.times(process['uptime'])}, CPU {tables.times(process['cpu'])}, {tables.size(process['memory'])}"
    ]
    for loop in reply["loops"]:
        state = f"runs in {loop['thread'] or 'a thread'}" if loop["running"] else "doesn't run"
        busy = "" if loop["busy"] is None else f", busy {loop['busy']:.0%}"
        lines.append(
            f"Loop {loop['loop']} {state}: {loop['pending']} tasks, {loop['ready']} ready, {loop['timers']} timers, "
            f"{loop['descriptors']} descriptors{busy}"
        )
    if report := reply["watchdog"]:
        first = report["text"].partition("\n")[0]
        lines.append(f"The watchdog, {tables.times(report['ago'])} ago: {first}")
    return [tables.brief(line, _width()) for line in lines]


def _table_lines(reply: Any, sampled: bool) -> list[str]:
    many = len(reply["loops"]) > 1
    titles = [*(["LOOP"] if many else []), "ID", "NAME", "COROUTINE", "STATE", "AGE"]
    titles += [*(["BUSY", "SCHED", "IDLE"] if sampled else []), "POLLS", "WAKES", "WAITS FOR"]
    rows = [titles]
    for row in reply["tasks"]:
        cells = [*([str(row["loop"])] if many else []), str(row["id"]), row["name"], row["coroutine"], row["state"]]
        cells.append(tables.age(row))
        if sampled:
            cells += [tables.times(row["busy"]), tables.times(row["scheduled"]), tables.times(row["idle"])]
        rows.append([*cells, str(row["polls"]), str(row["wakes"]), tables.waits(row)])
    right = [at for at, title in enumerate(titles) if title not in ("NAME", "COROUTINE", "STATE", "WAITS FOR")]
    names = titles.index("NAME")
    return tables.aligned(_narrowed(_narrowed(rows, names), names + 1), right, _width())


def _tree_lines(reply: Any) -> list[str]:
    plain = (getattr(sys.stdout, "encoding", None) or "").lower().replace("-", "") != "utf8"
    lines = []
    for before, branch in tables.branches(tables.grown(reply["tasks"]), plain):
        words = tables.waits(branch.row) or branch.row["state"]
        again = " (see above)" if branch.again else f": {words}"
        lines.append(tables.brief(f"{before}{tables.who(branch.row)}{again}", _width()))
    return lines


def _narrowed(rows: list[list[str]], column: int) -> list[list[str]]:
    """Cuts a column on a terminal, so that those after it have room."""
    width = _width()
    most = None if width is None else max(12, width // 4)
    return [[tables.brief(cell, most) if at == column else cell for at, cell in enumerate(row)] for row in rows]


def _width() -> int | None:
    """The width of the terminal; `None` if the output goes elsewhere, and is written whole."""
    return shutil.get_terminal_size().columns if sys.stdout is not None and sys.stdout.isatty() else None


def _write(lines: Sequence[str]) -> None:
    if sys.stdout is None:
        raise _UnwrittenError("there is no standard output")
    encoding = sys.stdout.encoding or "utf-8"
    text = "".join(f"{line}\n" for line in lines)
    try:
        sys.stdout.write(text.encode(encoding, "replace").decode(encoding))
        sys.stdout.flush()
    except OSError as error:
        # What is left in the buffer would fail again at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if isinstance(error, BrokenPipeError):
            raise
        raise _UnwrittenError(error.strerror) from error
