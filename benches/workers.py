"""The other end of `worker.py`: starts one process per implementation, sends requests, waits with a limit.

`run.py`, `precision.py`, `memory.py` and `import_time.py` use it, and their common options are here. Statistics are in
`report.py`. Invariant: only one worker has a request at any time, so the workers may share a CPU.
"""

import argparse
import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
from pathlib import Path

import implementations

HERE = Path(__file__).resolve().parent
# Settings in a developer's shell that would slow one implementation more than another.
DROPPED_VARIABLES = (
    "PYTHONASYNCIODEBUG",
    "PYTHONDEVMODE",
    "PYTHONMALLOC",
    "PYTHONTRACEMALLOC",
    "PYTHONPROFILEIMPORTTIME",
)


class MissingImplementation(Exception):
    """An implementation isn't installed in the Python that should run it."""


class MeasureFailed(Exception):
    """A worker raised, died, or didn't answer in time; the message says which and why."""


class Worker:
    """A process that runs one implementation."""

    def __init__(self, python: str, name: str, cpus: str, variables: dict[str, str] | None = None) -> None:
        """Start it with the interpreter `python`, pinned to `cpus` ("0,1"; "" doesn't pin), and with `variables`.

        Raises MissingImplementation if the implementation isn't installed, MeasureFailed if its import fails for
        another reason.
        """
        self.python, self.name, self.cpus, self.variables = python, name, cpus, variables or {}
        self.start()

    def start(self) -> None:
        """Start the process (again)."""
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - `stop` closes it
        self._process = subprocess.Popen(
            [self.python, str(HERE / "worker.py"), self.name, self.cpus],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=clean_environment() | self.variables,
        )
        self._received = b""
        hello = self._receive(60)
        if "missing" in hello:
            install = implementations.IMPLEMENTATIONS[self.name].install
            self.stop()
            raise MissingImplementation(
                f"{self.name} can't be imported by {self.python}: {hello['missing']}\n"
                f"  install it:    {self.python} {install}\n"
                f"  or leave it out with --impls"
            )
        self.version = hello["version"]

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    def ask(self, request: dict, limit: float) -> dict:
        """Send a request and return the answer; wait at most `limit` seconds.

        Raises MeasureFailed if the worker raises, dies or takes longer; a worker that ended is started again.
        """
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            self._fail("its process ended between two measurements")
        reply = self._receive(limit)
        if "error" in reply:
            raise MeasureFailed(f"{self.name}: {reply['error'].strip()}")
        return reply

    def stop(self) -> None:
        """End the process."""
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._errors.close()

    def _receive(self, limit: float) -> dict:
        """Return the next line of the process, waiting at most `limit` seconds for each part of it."""
        while b"\n" not in self._received:
            if not select.select([self._process.stdout], [], [], limit)[0]:
                self._process.kill()
                self._fail(f"no answer within {limit:.0f} s")
            part = os.read(self._process.stdout.fileno(), 65536)
            if not part:
                self._fail("its process ended without an answer")
            self._received += part
        line, _, self._received = self._received.partition(b"\n")
        return json.loads(line)

    def _fail(self, what: str) -> None:
        """Raise MeasureFailed with the last lines that the process printed; restart it if it ever ran."""
        code = self._process.wait()
        self._errors.seek(0)
        said = "\n".join(self._errors.read().decode(errors="replace").strip().splitlines()[-15:])
        started = hasattr(self, "version")
        self.stop()
        if started:
            self.start()
        raise MeasureFailed(f"{self.name}: {what} (exit status {code}){': ' if said else ''}{said}")


def clean_environment() -> dict[str, str]:
    """Return the environment for measured processes: no variables that distort, and a fixed hash seed."""
    environment = {name: value for name, value in os.environ.items() if name not in DROPPED_VARIABLES}
    return environment | {"PYTHONHASHSEED": "0"}


def python_version(python: str) -> tuple[int, int]:
    """Return the (major, minor) version of the interpreter `python`; ends the program if it doesn't run."""
    question = "import sys; print(*sys.version_info[:2])"
    try:
        major, minor = subprocess.check_output([python, "-c", question], text=True).split()
    except (OSError, subprocess.CalledProcessError, ValueError) as error:
        sys.exit(f"{python} doesn't run as a Python: {error}\nGive another interpreter with --python.")
    return int(major), int(minor)


def common_options(description: str, epilog: str, impls: bool = True) -> argparse.ArgumentParser:
    """Return a parser with the options that benchmarks share: --python, --cpus and, if `impls`, --impls."""
    parser = argparse.ArgumentParser(
        description=description, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--python",
        default=sys.executable,
        metavar="PY",
        help="the interpreter that has the implementations installed (default: the one that runs this)",
    )
    if impls:
        parser.add_argument(
            "--impls",
            metavar="A,B",
            help=f"which to compare, of {','.join(implementations.IMPLEMENTATIONS)} "
            "(default: all that support that Python; zuvloop and rsloop join on 3.14)",
        )
    parser.add_argument(
        "--cpus",
        metavar="A,B",
        type=cpu_list,
        default=",".join(map(str, sorted(os.sched_getaffinity(0))[-2:])),
        help="the CPUs that measured processes are pinned to, one process running at a time; "
        "'all' doesn't pin (default: the last two, %(default)s)",
    )
    return parser


def cpu_list(text: str) -> str:
    """Check the value of `--cpus`; returns it ("" for "all"), or raises argparse's error."""
    if text == "all":
        return ""
    allowed = os.sched_getaffinity(0)
    try:
        unknown = set(cpu_numbers(text)) - allowed
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} isn't a list of CPU numbers such as 0,1") from None
    if unknown:
        raise argparse.ArgumentTypeError(f"this process may use the CPUs {sorted(allowed)}, not {text}")
    return text


def cpu_numbers(cpus: str) -> list[int]:
    """Return the numbers in a list of CPUs such as "0,1"."""
    return [int(cpu) for cpu in cpus.split(",")] if cpus else []


def chosen_names(parser: argparse.ArgumentParser, impls: str | None, version: tuple[int, int]) -> list[str]:
    """Return the names in `--impls`, or all for that Python version; a bad name ends the program."""
    if impls is None:
        return implementations.names_for(version)
    names = [name.strip() for name in impls.split(",") if name.strip()]
    unknown = [name for name in names if name not in implementations.IMPLEMENTATIONS]
    if unknown or not names:
        known = ", ".join(implementations.IMPLEMENTATIONS)
        parser.error(f"--impls: {', '.join(unknown) or 'nothing'} isn't an implementation; there are {known}")
    return names


def start_workers(python: str, names: list[str], cpus: str) -> dict[str, Worker]:
    """Start a worker for each name, pinned to `cpus`; ends the program if one is missing."""
    workers: dict[str, Worker] = {}
    problems = []
    for name in names:
        try:
            workers[name] = Worker(python, name, cpus)
        except (MissingImplementation, MeasureFailed) as error:
            problems.append(str(error))
    if problems:
        for worker in workers.values():
            worker.stop()
        sys.exit("\n".join(problems))
    return workers


def leave_cpus(cpus: str) -> None:
    """Keep this process off the CPUs that measure, if there are others."""
    others = os.sched_getaffinity(0) - set(cpu_numbers(cpus))
    if others:
        os.sched_setaffinity(0, others)
