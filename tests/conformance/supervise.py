"""Runs batches of tests in worker processes and survives crashes, hangs and closed standard streams.

One process runs a batch. If a test kills it or takes too long, the process and all its children are ended. The test
gets the verdict "crash" or "timeout", and a new process runs the rest of the batch. The invariant: at the end, every
test that was ordered has exactly one result.
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

#: How many times a test is tried alone before its failure counts.
REPEATS = 2
#: Up to this many failures may be chance, and are retried with nothing beside them; more means something is broken.
FEW = 30


@dataclass
class Result:
    """The outcome of one test."""

    status: str  #: pass, fail, error, skip, crash or timeout
    text: str = ""  #: the traceback, or the reason of the skip
    seconds: float = 0.0
    loops: int = -1  #: how many of the implementation's loops the test made; -1: unknown
    first: str = ""  #: the verdict alongside its class, if the test was rerun alone

    @property
    def is_good(self) -> bool:
        return self.status in ("pass", "skip")


@dataclass
class Orders:
    """What all workers of a run share."""

    python: str  #: the interpreter whose tests run; it must be able to import the implementation
    implementation: str
    mode: str
    timeout: float  #: seconds allowed per test
    adapt: bool = False  #: use the adapted helpers for asyncio itself too


class Worker:
    """One worker process and the pipe for its events. A context manager: the process never outlives the block."""

    def __init__(self, orders: Orders, **what):
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__
        self._directory = tempfile.TemporaryDirectory(prefix="conformance-")
        self._fd, writer = os.pipe()
        self._pending = b""
        environment = {**os.environ, "PYTHONWARNINGS": os.environ.get("PYTHONWARNINGS", "default")}
        # It gets its own session, so that its children can be ended with it. SIGINT is reset to its default, because
        # tests send it and a shell's background jobs inherit it as ignored.
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
            pass  # it died at once; `events` will report that

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
        """Yields events until the process is done, ends, or stays silent for `timeout` seconds.

        The last event is always one of "done", "crash", "timeout".
        """
        deadline = time.monotonic() + timeout
        while True:
            # A test's child may hold the pipe open, so the end of the pipe alone doesn't tell us that the worker died.
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
            elif readable and self._ends_before(deadline):  # end of file: the process is about to end
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
        """Returns how the process ended, and the end of what it wrote to stdout and stderr."""
        self._log.seek(0)
        written = self._log.read()[-3000:].decode("utf-8", "replace")
        return f"exit status {self._process.poll()}\n{written}"


def list_tests(orders: Orders, modules: list[str]) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Returns the tests of each module, and the traceback of each module that can't be imported."""
    tests, broken = {}, {}
    with Worker(orders, list=modules) as worker:
        for event in worker.events(timeout=120):
            if event["event"] == "module":
                tests[event["module"]] = event["tests"]
                if "broken" in event:
                    broken[event["module"]] = event["broken"]
            elif event["event"] != "done":
                raise SystemExit(f"{orders.implementation} can't be put in asyncio's place:\n{worker.last_words()}")
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
                    if running is None:  # outside any test: no point in going on
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
    """Runs batches, `jobs` at a time. Calls `progress` with each finished batch's name and number of failures.

    A failing test that `is_expected` doesn't list is rerun alone, up to `REPEATS` times, after all others have ended:
    the suite's classes depend on state that others leave behind, and some tests measure time. The last verdict counts.
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
