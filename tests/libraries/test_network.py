"""Libraries run unchanged on a simulated network: each program prints what it prints on the machine's own network.

The simulated one has latency and cuts what is sent at random places; one program also loses its connections again and
again. `programs/` run as they are, and `network/` has programs that need no server. A virtual clock doesn't know the
threads of anyio that uvicorn's program waits for, so that one has real time. So has hypercorn's: when its server closes
a TLS connection while data arrives, asyncio's TLS raises an error, and with latency that happens.

Tornado's program isn't here: it calls `ssl.SSLContext.wrap_socket`, which needs a descriptor of the system's.
"""

import functools
import pathlib
import re
import subprocess
import sys

import pytest
from tests.libraries.test_programs import LIMIT, environment

HERE = pathlib.Path(__file__).parent

pytestmark = pytest.mark.timeout(4 * LIMIT)

PROGRAMS = {
    "programs/with_aiohttp.py": [],
    "programs/with_anyio.py": [],
    "programs/with_httpx.py": [],
    "programs/with_hypercorn.py": ["real-time"],
    "programs/with_uvicorn.py": ["real-time"],
    "programs/with_websockets.py": [],
    "network/asyncpg_client.py": [],
    "network/redis_client.py": [],
    "network/retrying.py": [],
}

# aiohttp calls a function of its own that it has deprecated when a part of a form comes in several pieces.
OWN_WARNINGS = ["-W", "ignore:unread_data"]


def run(program: str, *arguments: str) -> tuple[str, str]:
    """Returns what the program prints, and what the network says. A failure, or a warning, fails the test."""
    path = HERE / program
    command = [sys.executable, "-W", "always", *OWN_WARNINGS, str(HERE / "on_network.py"), str(path), *arguments]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment("loop", ()), timeout=LIMIT
    )
    said = [line for line in done.stderr.splitlines() if not line.startswith("running on ")]
    about_network = said.pop() if said and said[-1].startswith("the simulated network") else ""
    assert done.returncode == 0 and not said, f"status {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout, about_network


@functools.cache
def on_real_network(program: str) -> str:
    printed, _ = run(program, "real")
    assert printed, "the program found nothing"
    return printed


@pytest.mark.parametrize("seed", ["1", "2"])
@pytest.mark.parametrize("program", PROGRAMS)
def test_prints_what_it_prints_on_a_real_network(program, seed):
    printed, said = run(program, seed, *PROGRAMS[program])
    assert printed == on_real_network(program)
    assert re.search(r"has seen [1-9]\d* connections", said), said


@pytest.mark.parametrize("seed", ["1", "2", "3"])
def test_clients_that_try_again_survive_resets(seed):
    printed, said = run("network/retrying.py", seed, "resets")
    assert printed == on_real_network("network/retrying.py")
    connections, resets = map(int, re.findall(r"\d+", said))
    assert connections > 40 and resets > 10, said
