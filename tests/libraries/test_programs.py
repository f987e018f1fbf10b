"""Libraries run on ferrio unchanged. On ferrio's loop and under `ferrio.install()`, each program of `programs/` prints
what it prints on asyncio, runs on the right loop, and gives no warning.

Each run is a process of its own. `conftest.py` writes the outcomes into docs/libraries.md.
"""

import functools
import os
import signal
import subprocess
import sys

import pytest
from tests.libraries.programs_list import HERE, Program, programs

# The limit for one process; on a quiet machine the longest takes a tenth of it.
LIMIT = 120

pytestmark = pytest.mark.timeout(4 * LIMIT)

COMMANDS = {
    "asyncio": [],
    "loop": [str(HERE / "on_loop.py")],
    "install": ["-m", "ferrio"],
}


def environment(way: str, servers: tuple[tuple[str, str], ...]) -> dict[str, str]:
    """Returns a run's variables: no proxy stands between a program and its own machine, no debug mode slows it down."""
    unwanted = {"http_proxy", "https_proxy", "all_proxy", "pythonasynciodebug", "pythondevmode", "pythonwarnings"}
    unwanted.add("pytest_disable_plugin_autoload")  # `make` sets it for this pytest alone
    kept = {name: value for name, value in os.environ.items() if name.lower() not in unwanted}
    return kept | {"FERRIO_LIBRARIES_WAY": way} | dict(servers)


def run(program: Program, way: str, servers: tuple[tuple[str, str], ...]) -> str:
    """Returns what the program prints when run this way. An error, or any other output, fails the test."""
    command = [sys.executable, "-W", "always", *COMMANDS[way], str(program.path)]
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(way, servers),
        start_new_session=True,
    ) as process:
        try:
            printed, errors = process.communicate(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            # Together with what it started, which holds the pipes open too.
            os.killpg(process.pid, signal.SIGKILL)
            printed, errors = process.communicate()
            pytest.fail(f"{program.path.name} did not end within {LIMIT} s ({way})\n{printed}\n{errors}")
    said = set(errors.splitlines())
    loop = "asyncio" if way == "asyncio" else "ferrio"
    assert process.returncode == 0, f"status {process.returncode} ({way})\n{printed}\n{errors}"
    assert said == {f"running on {loop}"}, f"{way}:\n{errors}"
    assert printed, "the program found nothing"
    return printed


# The oracle runs once per program. If it fails, each test that needs it asks again and so shows the failure.
on_asyncio = functools.lru_cache(maxsize=None)(functools.partial(run, way="asyncio"))


@pytest.mark.parametrize(
    ("program", "way"),
    [pytest.param(program, way, id=f"{program.name}-{way}") for program in programs() for way in program.ways],
)
def test_prints_what_it_prints_on_asyncio(program, way, request, record_property):
    record_property("library", (program.name, way))
    servers = tuple(
        variable for name in program.needs for variable in request.getfixturevalue(f"{name}_server").items()
    )
    expected = on_asyncio(program, servers=servers)
    assert run(program, way, servers) == expected
