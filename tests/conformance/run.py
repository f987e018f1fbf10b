"""Runs CPython's own test.test_asyncio on ferrio: the given interpreter's tests, unchanged.

    python tests/conformance/run.py --python .venv-3.13/bin/python --mode module --modules test_tasks,test_futures -v

In module mode, `import asyncio` gives ferrio. In loop mode, the standard asyncio runs on ferrio's loop. The
percentage counts the behaviour tests (see classify.py) that pass, out of those that weren't skipped. The status is 1
if an unlisted behaviour test fails, if a test listed in expectations.py passes, or if a test module can't be imported.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import expectations
from classify import BEHAVIOUR, INTERNAL, MODES, NOT_APPLICABLE, classify
from supervise import Orders, Result, list_tests, run_batches

# Expressions that the interpreter evaluates to find its asyncio tests.
TEST_DIRECTORY = "__import__('test.test_asyncio').test_asyncio.__path__[0]"

STATUSES = ("pass", "fail", "error", "timeout", "crash", "skip")


class Run:
    """The outcome of the suite on one interpreter in one mode."""

    def __init__(self, orders: Orders, version: str, release: int):
        self.orders = orders
        #: The version as directories are named after it: "3.13", "3.14t".
        self.version = version
        #: The release: 7 for 3.14.7.
        self.release = release
        self.kinds: dict[str, tuple[str, str]] = {}
        self.results: dict[str, Result] = {}
        #: Modules that can't be imported, with the traceback.
        self.broken: dict[str, str] = {}
        #: Expectations about tests that this version's suite doesn't have.
        self.stale: list[str] = []
        self.seconds = 0.0

    def of_kind(self, kind: str) -> dict[str, Result]:
        """Returns the results of one kind of test."""
        return {test: result for test, result in self.results.items() if self.kinds[test][0] == kind}

    def settle(self) -> None:
        """Drops results that turned out to mean nothing: in loop mode, tests that never made a loop."""
        if self.orders.mode != "loop":
            return
        for test, result in self.of_kind(BEHAVIOUR).items():
            if result.loops == 0 and result.status in ("pass", "fail", "error"):
                self.kinds[test] = (NOT_APPLICABLE, "made no loop of the implementation")

    def expectation(self, test: str):
        """Returns why the test is expected to fail, or None. Expectations apply to ferrio, not to its peers."""
        if self.orders.implementation != "ferrio":
            return None
        return expectations.expected(test, self.orders.mode, self.version, self.release)

    def unexpected(self) -> dict[str, Result]:
        """Returns unlisted behaviour tests that fail, and listed ones that pass."""
        return {
            test: result
            for test, result in self.of_kind(BEHAVIOUR).items()
            if result.status != "skip" and result.is_good == (self.expectation(test) is not None)
        }

    def listed(self) -> list[str]:
        """Returns the behaviour tests that fail as listed in expectations.py."""
        return [
            test
            for test, result in self.of_kind(BEHAVIOUR).items()
            if not result.is_good and self.expectation(test) is not None
        ]

    def score(self) -> tuple[int, int]:
        """Returns how many behaviour tests pass, and out of how many."""
        counted = [result for result in self.of_kind(BEHAVIOUR).values() if result.status != "skip"]
        return sum(result.is_good for result in counted), len(counted)


def ask(python: str, expression: str) -> str:
    """Evaluates an expression in the interpreter and returns its value as text."""
    program = f"import os, sys; print({expression})"
    return subprocess.check_output([python, "-c", program], text=True).strip()


def run_suite(
    orders: Orders, modules: list[str], chosen: Callable[[str], bool], kinds: set[str], jobs: int, verbose: bool
) -> Run:
    """Runs the chosen tests, by id and kind, with one process per class."""
    version = ask(orders.python, "'%d.%d%s' % (*sys.version_info[:2], sys.abiflags)")
    run = Run(orders, version, int(ask(orders.python, "sys.version_info.micro")))
    started = time.monotonic()
    by_module, run.broken = list_tests(orders, modules)
    run.stale = [
        test
        for test in expectations.EXPECTED_FAILURES
        if run.expectation(test) and test not in by_module.get(test.partition(".")[0], [test])
    ]
    batches: dict[str, list[str]] = {}
    for test in (test for tests in by_module.values() for test in tests):
        kind = classify(test, orders.mode, run.version)
        if kind[0] in kinds and chosen(test):
            run.kinds[test] = kind
            batches.setdefault(test.rpartition(".")[0], []).append(test)

    def progress(name: str, failures: int) -> None:
        if verbose and sys.stderr.isatty():
            print(f"{time.monotonic() - started:5.0f}s  {name}: {failures or 'no'} failures", file=sys.stderr)

    results = run_batches(orders, batches, jobs, progress, lambda test: run.expectation(test) is not None)
    run.results = {test: results[test] for test in run.kinds}  # in the suite's order
    run.settle()
    run.seconds = round(time.monotonic() - started, 1)
    return run


def print_tables(run: Run) -> None:
    """Prints the verdicts by module, for each kind."""
    for kind in (BEHAVIOUR, INTERNAL, NOT_APPLICABLE):
        results = run.of_kind(kind)
        if not results:
            continue
        print(f"\n{kind:<28}" + "".join(f"{status:>9}" for status in STATUSES))
        counts: dict[str, Counter] = {}
        for test, result in results.items():
            for row in (test.partition(".")[0], "in all"):
                counts.setdefault(row, Counter())[result.status] += 1
        counts["in all"] = counts.pop("in all")  # last
        for row, counter in counts.items():
            print(f"  {row:<26}" + "".join(f"{counter[status]:>9}" for status in STATUSES))


def print_failures(run: Run, verbose: bool) -> None:
    """Prints the modules that broke, the number of expected failures, and the unexpected ones by name."""
    for module, text in run.broken.items():
        print(f"\n{module} can't be imported: {text.strip().splitlines()[-1]}")
    for test in run.stale:
        print(f"  {test} does not exist: remove it from expectations.py, or name the versions that have it")
    if run.listed():
        print(f"\n{len(run.listed())} fail as listed in expectations.py")
    for test, result in run.unexpected().items():
        if result.is_good:
            print(f"  {test} passes: remove it from expectations.py")
        else:
            print(f"  {result.status:<8}{test}")
            if verbose:
                print("".join(f"      {line}\n" for line in result.text.strip().splitlines()[-12:]), end="")


def write_json(run: Run, path: Path) -> None:
    """Writes everything about the run to a file."""
    document = {
        "implementation": run.orders.implementation,
        "mode": run.orders.mode,
        "python": run.version,
        "seconds": run.seconds,
        "score": run.score(),
        "listed": len(run.listed()),
        "broken": run.broken,
        "tests": {
            test: {**vars(result), "kind": run.kinds[test][0], "reason": run.kinds[test][1]}
            for test, result in run.results.items()
        },
    }
    path.write_text(json.dumps(document, indent=1) + "\n")


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--python", default=sys.executable, help="run this interpreter's tests (default: this one's)")
    parser.add_argument("--mode", choices=MODES, default="module")
    parser.add_argument("--impl", default="ferrio", help="what to test: any importable module (default: ferrio)")
    parser.add_argument("--modules", help="comma separated; default: all of test.test_asyncio")
    parser.add_argument("--only", default="", metavar="REGEX", help="run only test ids that match")
    parser.add_argument("--kinds", default=BEHAVIOUR, help="comma separated kinds to run, or 'all'")
    parser.add_argument("--timeout", type=float, default=30, help="seconds allowed per test")
    parser.add_argument("--jobs", type=int, default=2, help="worker processes at a time")
    parser.add_argument("--adapt", action="store_true", help="use the adapted helpers for asyncio too, to check them")
    parser.add_argument("--output", type=Path, help="write the results as JSON")
    parser.add_argument("-v", "--verbose", action="store_true", help="show progress and the ends of tracebacks")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    # Not resolved: a virtual environment is recognised by the path of its link.
    python = os.path.abspath(options.python) if os.sep in options.python else options.python
    existing = sorted(path.stem for path in Path(ask(python, TEST_DIRECTORY)).glob("test_*.py"))
    wanted = options.modules.split(",") if options.modules else existing
    # Not every version has every module.
    modules = [module for module in wanted if module in existing]

    def chosen(test: str) -> bool:
        return bool(re.search(options.only, test))

    kinds = {BEHAVIOUR, INTERNAL, NOT_APPLICABLE} if options.kinds == "all" else set(options.kinds.split(","))
    orders = Orders(python, options.impl, options.mode, options.timeout, options.adapt)
    run = run_suite(orders, modules, chosen, kinds, options.jobs, options.verbose)
    print(f"{options.impl} on Python {run.version}, {options.mode} mode")
    print_tables(run)
    print_failures(run, options.verbose)
    passed, counted = run.score()
    share = 100 * passed / counted if counted else 0.0
    print(f"\n{passed} of {counted} behaviour tests pass: {share:.2f} %, in {run.seconds:.0f} s")
    if options.output:
        write_json(run, options.output)
    return 1 if run.unexpected() or run.broken or run.stale or not counted else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
