"""What `ferrio top` knows of the programs that it shows: their last tables, which have ended, and which came back.

Nothing here draws. The methods block, so `top` calls them in a thread, one at a time.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ferrio.cli import programs
from ferrio.sight import snapshot

__all__ = ("Look", "Process", "Watching")

# Between two searches for programs that have begun, in seconds.
_SEARCH = 2.0


@dataclasses.dataclass
class Process:
    """One process, as it was last seen."""

    pid: int
    reply: dict[str, Any]
    cpu: float | None = None
    """The share of a CPU that it used between the last two looks."""
    problem: str | None = None
    """Why it isn't seen any more."""

    @property
    def title(self) -> str:
        """Its command line without the interpreter."""
        return programs.title(self.reply)


@dataclasses.dataclass
class Look:
    """What one look has found."""

    processes: list[Process]
    rows: list[dict[str, Any]]
    """Tasks of all processes, sorted, each with its `pid`."""
    matching: int
    """How many tasks there are; `rows` may have fewer."""


class Watching:
    """The programs that are shown: some, or with `everything` all that can be seen."""

    def __init__(self, chosen: Sequence[programs.Program] = (), everything: bool = False) -> None:
        self._programs = {program.pid: program for program in chosen}
        self._everything = everything
        self._seen = {program.pid: Process(program.pid, program.about) for program in chosen}
        self._looked: dict[int, tuple[float, float]] = {}
        self._searched = 0.0

    def look(self, request: Mapping[str, Any]) -> Look:
        """Asks all programs for their tables. Those that have ended keep their last one."""
        self._search()
        for pid, program in list(self._programs.items()):
            try:
                reply = program.ask_once({"do": "tasks", "sample": True, **request})
            except programs.Unseen as unseen:
                del self._programs[pid]
                self._seen[pid].problem = str(unseen)
                continue
            if "again_in" not in reply:
                self._note(pid, reply)
        if self._everything:
            self._seen = {pid: seen for pid, seen in self._seen.items() if seen.problem is None}
        processes = [self._seen[pid] for pid in sorted(self._seen)]
        rows = [{**row, "pid": seen.pid} for seen in processes for row in seen.reply.get("tasks", ())]
        key = snapshot.COLUMNS[request.get("sort", "id")]
        rows.sort(key=key, reverse=bool(request.get("reverse")))
        return Look(processes, rows, sum(seen.reply.get("matching", 0) for seen in processes))

    def stack(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Asks where a task stands. The reply has `gone` if it or its program has ended."""
        program = self._programs.get(row["pid"])
        if program is None:
            return {"gone": True}
        try:
            return program.ask_once({"do": "stack", **{name: row[name] for name in ("loop", "id", "place")}})
        except programs.Unseen:
            return {"gone": True}

    def close(self) -> None:
        """Ends all connections, and with them the taking of samples."""
        for program in self._programs.values():
            program.close()
        self._programs.clear()

    def _note(self, pid: int, reply: dict[str, Any]) -> None:
        now, cpu = time.monotonic(), reply["process"]["cpu"]
        seen = self._seen[pid]
        if pid in self._looked and now > self._looked[pid][0]:
            seen.cpu = (cpu - self._looked[pid][1]) / (now - self._looked[pid][0])
        self._looked[pid] = now, cpu
        seen.reply, seen.problem = reply, None

    def _search(self) -> None:
        """Finds programs that have begun, and those that have ended and were started again."""
        ended = {pid: seen for pid, seen in self._seen.items() if seen.problem is not None}
        if not (self._everything or ended) or time.monotonic() < self._searched + _SEARCH:
            return
        for program in programs.running():
            before = next((pid for pid, seen in ended.items() if _is_same(seen.reply, program.about)), None)
            if program.pid in self._programs or (before is None and not self._everything):
                program.close()
                continue
            if before is not None:
                del self._seen[before], ended[before]
            with contextlib.suppress(KeyError):
                del self._looked[program.pid]
            self._programs[program.pid] = program
            self._seen[program.pid] = Process(program.pid, program.about)
        self._searched = time.monotonic()


def _is_same(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether it is the same command."""
    return bool(before["process"]["argv"] == now["process"]["argv"])
