"""Writes what the programs of this directory did into the table of docs/libraries.md, if asked to: --write-table.

Rows of programs that were not run stay as they are, rows of programs that are no more go. Versions are those that are
installed. What else the document says is written by hand.
"""

import importlib.metadata
import re

from tests.libraries.programs_list import PREFIX, Program, programs
from tests.libraries.servers import chromium_server, postgresql_server, redis_server

__all__ = ("chromium_server", "postgresql_server", "redis_server")

DOCUMENT = "docs/libraries.md"
BEGIN, END = "<!-- table: written by make test-libraries -->\n", "<!-- end of the table -->\n"


def pytest_addoption(parser):
    parser.addoption("--write-table", action="store_true", help=f"write the results into {DOCUMENT}")


def pytest_configure(config):
    if config.getoption("--write-table"):
        config.pluginmanager.register(_TableWriter(config))


class _TableWriter:
    """Collects the outcomes, of this process or of its workers, and writes them at the end."""

    def __init__(self, config):
        self._document = config.rootpath / DOCUMENT
        self._outcomes: dict[tuple[str, str], bool] = {}
        # What a missing server kept from being run; its teardown passes all the same.
        self._skipped: set[tuple[str, str]] = set()

    def pytest_runtest_logreport(self, report):
        for name, value in report.user_properties:
            if name == "library" and report.skipped:
                self._skipped.add(tuple(value))
            elif name == "library":
                self._outcomes[tuple(value)] = self._outcomes.get(tuple(value), True) and report.passed

    def pytest_sessionfinish(self):
        if not self._outcomes:
            return
        before, _, rest = self._document.read_text().partition(BEGIN)
        table, _, after = rest.partition(END)
        old = {found[1]: line for line in table.splitlines() if (found := re.search(rf"/{PREFIX}(\w+)\.py\)", line))}
        rows = [self._row(program) or old.get(program.name) for program in programs()]
        header = ["| library | what is run | on the loop | under `install()` |", "|---|---|---|---|"]
        lines = [*header, *filter(None, rows)]
        self._document.write_text(before + BEGIN + "\n".join(lines) + "\n" + END + after)

    def _row(self, program: Program) -> str | None:
        results = {
            way: None if (program.name, way) in self._skipped else self._outcomes.get((program.name, way))
            for way in program.ways
        }
        if None in results.values():
            return None
        versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in program.distributions)
        link = f"[{program.what}](../tests/libraries/programs/{program.path.name})"
        words = {way: "passes" if result else "fails" for way, result in results.items()}
        return f"| {versions} | {link} | {words.get('loop', program.not_on_loop)} | {words['install']} |"
