"""Runs batches of tests in worker processes and survives what they do: crashes, hangs, closed standard streams.

One process runs a batch; if a test kills it or takes too long, the process is ended with all its children, the test
gets the verdict "crash" or "timeout", and the rest of the batch goes on in a new process. The invariant: every test
that was ordered has exactly one result at the end.
"""

import json
import os
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

_WORKER = Path(__file__).with_name("worker.py")

#: How often a test is tried alone before its failure counts.
REPEATS = 2
#: So many failures may be chance, and are tried again with nothing beside them; more are something broken.
FEW = 30


@dataclass
class Result:
    """What became of one test."""

    status: str  #: pass, fail, error, skip, crash or timeout
    text: str = ""  #: the traceback, or the reason of the skip
    seconds: float = 0.0
    loops: int = -1  #: loops of the implementation that the test made; -1: not known
    first: str = ""  #: the verdict in the company of the class, where the test was run again alone

    @property
    def is_good(self) -> bool:
        return self.status in ("pass", "skip")


@dataclass
class Orders:
    """What all workers of a run have in common."""

    python: str  #: the interpreter whose tests run; the implementation is importable there
    implementation: str
    mode: str
    timeout: float  #: seconds for one test
    adapt: bool = False  #: use the adapted helpers for asyncio itself too


class Worker:
    """One worker process and the pipe of its events. To be used as a context manager: it never outlives the block."""

    def __init__(self, orders: Orders, **what):
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__
        self._directory = tempfile.TemporaryDirectory(prefix="conformance-")
        self._fd, writer = os.pipe()
        self._pending = b""
        environment = {**os.environ, "PYTHONWARNINGS": os.environ.get("PYTHONWARNINGS", "default")}
        # A session of its own, so that its children can be ended with it. SIGINT at its default: tests send it, and a
        # shell's background jobs inherit it ignored.
        self._process = subprocess.Popen(
            [orders.python, "-X", "faulthandler", str(_WORKER), str(writer)],
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=self._log,
            pass_fds=[writer],
            cwd=self._directory.name,
            env=environment,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        os.close(writer)
        document = {"implementation": orders.implementation, "mode": orders.mode, "adapt": orders.adapt, **what}
        try:
            self._process.stdin.write(json.dumps(document).encode())
            self._process.stdin.close()
        except BrokenPipeError:
            pass  # it died at once; `events` will say so

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._process.wait()
        os.close(self._fd)
        self._log.close()
        self._directory.cleanup()

    def events(self, timeout: float):
        """Yields events until the process says that it is done, ends, or is silent for `timeout` seconds.

        The last event is always one of "done", "crash", "timeout".
        """
        deadline = time.monotonic() + timeout
        while True:
            # A child of a test may hold the pipe open, so that its end alone does not tell that the worker died.
            ended = self._process.poll() is not None
            readable, _, _ = select.select([self._fd], [], [], 0 if ended else 0.1)
            data = os.read(self._fd, 1 << 16) if readable else b""
            if data:
                *lines, self._pending = (self._pending + data).split(b"\n")
                for line in lines:
                    event = json.loads(line)
                    yield event
                    if event["event"] == "done":
                        return
                deadline = time.monotonic() + timeout
            elif ended:
                yield {"event": "crash"}
                return
            elif readable and self._ends_before(deadline):  # end of file: it is about to end
                continue
            elif readable or time.monotonic() > deadline:
                yield {"event": "timeout"}
                return

    def _ends_before(self, deadline: float) -> bool:
        try:
            self._process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            return False
        return True

    def last_words(self) -> str:
        """How the process ended, and the end of what it wrote to stdout and stderr."""
        self._log.seek(0)
        written = self._log.read()[-3000:].decode("utf-8", "replace")
        return f"exit status {self._process.poll()}\n{written}"


def list_tests(orders: Orders, modules: list[str]) -> tuple[dict[str, list[str]], dict[str, str]]:
    """The tests of each module, and the traceback of each module that cannot be imported."""
    tests, broken = {}, {}
    with Worker(orders, list=modules) as worker:
        for event in worker.events(timeout=120):
            if event["event"] == "module":
                tests[event["module"]] = event["tests"]
                if "broken" in event:
                    broken[event["module"]] = event["broken"]
            elif event["event"] != "done":
                raise SystemExit(f"{orders.implementation} cannot be put in asyncio's place:\n{worker.last_words()}")
    return tests, broken


def run_batch(orders: Orders, tests: list[str]) -> dict[str, Result]:
    """Runs tests in one process, and in a new one after each crash or hang."""
    results: dict[str, Result] = {}
    todo = list(tests)
    while todo:
        running = None
        with Worker(orders, run=todo) as worker:
            for event in worker.events(orders.timeout):
                kind = event["event"]
                if kind == "start":
                    running = event["test"]
                elif kind == "end":
                    fields = ("status", "text", "seconds", "loops")
                    results[event["test"]] = Result(*(event[field] for field in fields))
                    running = None
                elif kind in ("crash", "timeout"):
                    if running is None:  # before the first test or between two: no use in going on
                        words = worker.last_words()
                        results.update((test, Result("error", words)) for test in todo if test not in results)
                    else:
                        results[running] = Result(kind, worker.last_words())
        todo = [test for test in todo if test not in results]
    return results


def run_batches(
    orders: Orders,
    batches: dict[str, list[str]],
    jobs: int,
    progress: Callable[[str, int], None],
    is_expected: Callable[[str], bool],
) -> dict[str, Result]:
    """Runs batches, `jobs` at a time. `progress` is told the name of each finished batch and its number of failures.

    A test that does not pass, and of which `is_expected` does not say that it fails, is run again alone, up to
    `REPEATS` times, when all others have ended: the suite's classes lean on the state that others leave, and some tests
    measure time. The last verdict counts.
    """

    def work(name: str, tests: list[str]) -> dict[str, Result]:
        batch = run_batch(orders, tests)
        progress(name, sum(not result.is_good for result in batch.values()))
        return batch

    def alone(test: str) -> Result:
        for _ in range(REPEATS):
            result = run_batch(patient, [test])[test]
            result.first = results[test].status
            if result.is_good:
                break
        return result

    patient = replace(orders, timeout=2 * orders.timeout)
    results: dict[str, Result] = {}
    with ThreadPoolExecutor(jobs) as pool:
        for batch in pool.map(work, batches.keys(), batches.values()):
            results.update(batch)
    failed = [test for test, result in results.items() if not result.is_good and not is_expected(test)]
    with ThreadPoolExecutor(1 if len(failed) <= FEW else jobs) as pool:
        results.update(zip(failed, pool.map(alone, failed), strict=True))
    return results
