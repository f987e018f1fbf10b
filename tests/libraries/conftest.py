"""With --write-table, writes the outcomes of this directory's programs into the tables of docs/libraries.md.

Rows of programs that didn't run stay as they are; rows of programs that no longer exist go. Versions are those that
are installed. The second table has one row per Python, which only a complete run there writes: one of every test.
The rest of the document is written by hand.
"""

import importlib.metadata
import pathlib
import platform
import re
import signal
import sys

from tests.libraries.programs_list import PREFIX, Program, programs
from tests.libraries.servers import chromium_server, postgresql_server, redis_server

__all__ = ("chromium_server", "postgresql_server", "redis_server")

DOCUMENT = "docs/libraries.md"
TABLE = "<!-- table: written by make test-libraries -->\n", "<!-- end of the table -->\n"
PYTHONS = "<!-- Pythons: written by make test-libraries -->\n", "<!-- end of the Pythons -->\n"
PROGRAMS = "tests/libraries/test_programs.py::"
FILES = {path.name for path in pathlib.Path(__file__).parent.glob("test_*.py")}


def pytest_addoption(parser):
    parser.addoption("--write-table", action="store_true", help=f"write the outcomes into {DOCUMENT}")


def pytest_configure(config):
    # Some programs are sent Ctrl-C, which a shell makes its background processes ignore.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if config.getoption("--write-table"):
        config.pluginmanager.register(_TableWriter(config))


class _TableWriter:
    """Collects the outcomes of this process or its workers, and writes them at the end."""

    def __init__(self, config):
        self._document = config.rootpath / DOCUMENT
        self._is_narrowed = bool(config.option.keyword or config.option.markexpr or config.option.deselect)
        self._outcomes: dict[tuple[str, str], bool] = {}
        # Tests that a missing server prevented; their teardown passes nevertheless.
        self._skipped: set[tuple[str, str]] = set()
        # Tests of the other files: whether each passed, by its id, or `None` if it was skipped.
        self._others: dict[str, bool | None] = {}
        self._files: set[str] = set()

    def pytest_runtest_logreport(self, report):
        self._files.add(pathlib.Path(report.nodeid.partition("::")[0]).name)
        library = [tuple(value) for name, value in report.user_properties if name == "library"]
        for key in library:
            if report.skipped:
                self._skipped.add(key)
            else:
                self._outcomes[key] = self._outcomes.get(key, True) and report.passed
        if not report.nodeid.startswith(PROGRAMS):
            before = self._others.get(report.nodeid, True)
            self._others[report.nodeid] = None if report.skipped else before and report.passed

    def pytest_sessionfinish(self, session):
        if self._outcomes:
            text = self._with_programs(self._document.read_text())
            if not (self._is_narrowed or session.shouldstop or session.shouldfail) and self._files == FILES:
                text = self._with_python(text)
            self._document.write_text(text)

    def _with_programs(self, text: str) -> str:
        before, table, after = _parts(text, TABLE)
        old = {found[1]: line for line in table if (found := re.search(rf"/{PREFIX}(\w+)\.py\)", line))}
        rows = [self._row(program) or old.get(program.name) for program in programs()]
        header = ["| library | what is run | on the loop | under `install()` |", "|---|---|---|---|"]
        return before + "\n".join([*header, *filter(None, rows)]) + "\n" + after

    def _row(self, program: Program) -> str | None:
        results = {way: self._outcome(program, way) for way in program.ways}
        if None in results.values():
            return None
        versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in program.distributions)
        link = f"[{program.what}](../tests/libraries/programs/{program.path.name})"
        words = {way: "passes" if result else "fails" for way, result in results.items()}
        return f"| {versions} | {link} | {words.get('loop', program.not_on_loop)} | {words['install']} |"

    def _outcome(self, program: Program, way: str) -> bool | None:
        key = program.name, way
        return None if key in self._skipped else self._outcomes.get(key)

    def _with_python(self, text: str) -> str:
        """Adds this Python's row, or replaces the row of another release of its version."""
        before, table, after = _parts(text, PYTHONS)
        rows = {(int(found[1]), int(found[2])): line for line in table if (found := re.match(r"\| (\d+)\.(\d+)", line))}
        ran = [[self._outcome(program, way) for way in program.ways] for program in programs()]
        cells = [platform.python_version(), _counted(None if None in each else all(each) for each in ran)]
        cells.append(_counted(self._others.values()))
        rows[sys.version_info[:2]] = f"| {' | '.join(cells)} |"
        header = ["| Python | programs | tests of other pages |", "|---|---|---|"]
        return before + "\n".join([*header, *(rows[key] for key in sorted(rows))]) + "\n" + after


def _counted(outcomes) -> str:
    """Puts outcomes into words: "27 pass, 1 fails, 2 not run"."""
    found = list(outcomes)
    words = {True: "pass", False: "fail", None: "not run"}
    return ", ".join(f"{found.count(kind)} {word}" for kind, word in words.items() if kind in found)


def _parts(text: str, marks: tuple[str, str]) -> tuple[str, list[str], str]:
    """Returns the text up to the end of the first mark, the lines between the marks, and the rest."""
    begin, end = marks
    before, found, rest = text.partition(begin)
    assert found, f"{DOCUMENT} has no line {begin!r}"
    table, _, after = rest.partition(end)
    return before + begin, table.splitlines(), end + after
