"""docs/dask.md does what it says: its commands run as written, with two exceptions. The scheduler's address is a port
on loopback that the system chooses, and dashboards are off, because they would take ports of their own.
"""

import contextlib
import os
import pathlib
import re
import shlex
import signal
import socket
import subprocess
import sys
import textwrap

import pytest

ROOT = pathlib.Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "dask.md").read_text()
PRINTED = "25 primes below 100\n1229 primes below 10000\n78498 primes below 1000000\n"

pytestmark = pytest.mark.timeout(300)

# A program that contains the part shown on the page and asks the workers for their loops.
PROGRAM = """
{first}

from distributed import Client, LocalCluster


def count_primes(limit):
    return sum(all(number % divisor for divisor in range(2, number)) for number in range(2, limit))


async def loop_of_worker():
    import asyncio

    return type(asyncio.get_running_loop()).__module__.partition(".")[0]


async def main():
    async with LocalCluster(n_workers=1, dashboard_address=None, asynchronous=True) as address:
{part}
            print(count, *(await client.run(loop_of_worker)).values())


if __name__ == "__main__":
    asyncio.run(main())
"""


def command(text, port=0, *more):
    """Returns the page's shortest command that begins with `text`, for a scheduler at this port on loopback."""
    line = min(re.findall(rf"^```console\n({re.escape(text)}.*)\n```$", PAGE, re.MULTILINE), key=len)
    line = line.replace("scheduler-host:8786", f"127.0.0.1:{port}").replace("--port 8786", f"--port {port}")
    words = shlex.split(line)
    assert words[0] == "python"
    return [sys.executable, *words[1:], *more]


def environment(directory, logging="error"):
    """Returns a command's variables: no proxy in front of its own machine, and its files are in `directory`."""
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    # No warnings: on a busy machine Dask kills workers that take seconds to end, and reports that.
    return kept | {"DASK_TEMPORARY_DIRECTORY": str(directory), "DASK_LOGGING__DISTRIBUTED": logging}


@contextlib.contextmanager
def running(words, directory, ready):
    """Runs a program until the end of the block, which begins once the program has written `ready` in a line."""
    log = directory / f"{ready.split()[0]}.log"
    with (
        log.open("w") as output,
        subprocess.Popen(
            words,
            cwd=ROOT,
            env=environment(directory, logging="info"),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as process,
    ):
        try:
            said = []
            for line in process.stderr:
                said.append(line)
                if ready in line:
                    break
            assert said and ready in said[-1], "".join(said)
            # Later output must not fill the pipe.
            with subprocess.Popen(["cat"], stdin=process.stderr, stdout=subprocess.DEVNULL):
                yield
                process.send_signal(signal.SIGTERM)
                process.wait(60)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def run(words, directory):
    done = subprocess.run(
        words, cwd=ROOT, env=environment(directory), capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


@pytest.mark.parametrize("options", [[], ["-m", "ferrio"]], ids=["python", "python -m ferrio"])
def test_example_starts_its_own_cluster(options, tmp_path):
    python, example = command("python examples/many_machines.py")
    assert run([python, *options, example], tmp_path) == PRINTED


def test_commands_start_a_cluster_for_the_example(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    scheduler = command("python -m ferrio -m dask scheduler", port, "--host", "127.0.0.1", "--no-dashboard")
    worker = command("python -m ferrio -m dask worker", port, "--no-dashboard")
    with running(scheduler, tmp_path, "Scheduler at"), running(worker, tmp_path, "Registered to"):
        assert run(command("python examples/many_machines.py tcp", port), tmp_path) == PRINTED


@pytest.mark.parametrize(
    ("first", "options", "loop"),
    [
        ("import asyncio", ["-m", "ferrio"], "ferrio"),
        ("import ferrio\nferrio.install()\nimport asyncio", [], "ferrio"),
        ("import ferrio as asyncio", [], "asyncio"),
    ],
    ids=["python -m ferrio", "install", "as asyncio"],
)
def test_workers_run_on_the_programs_loop(first, options, loop, tmp_path):
    (part,) = re.findall(r"^```python\n(.*?)\n```$", PAGE, re.MULTILINE | re.DOTALL)
    part = textwrap.indent(part.replace("1_000_000", "30"), " " * 8)
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.format(first=first, part=part))
    assert run([sys.executable, *options, str(program)], tmp_path) == f"10 {loop}\n"
