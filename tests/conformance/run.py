"""Runs CPython's own test.test_asyncio on ferrio: the tests of the interpreter given, unchanged.

    python tests/conformance/run.py --python .venv-3.13/bin/python --mode module --modules test_tasks,test_futures -v

module mode: `import asyncio` gives ferrio. loop mode: the standard asyncio on ferrio's loop. The percentage counts the
behaviour tests (see classify.py) that pass, of those that were not skipped. The status is 1 if a behaviour test fails
that expectations.py does not list, if a listed one passes, or if a test module cannot be imported.
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

# Where the interpreter has its tests of asyncio, as an expression for it.
TEST_DIRECTORY = "__import__('test.test_asyncio').test_asyncio.__path__[0]"

STATUSES = ("pass", "fail", "error", "timeout", "crash", "skip")


class Run:
    """The outcome of the suite on one interpreter in one mode."""

    def __init__(self, orders: Orders, version: str, release: int):
        self.orders = orders
        #: As directories are named by it: "3.13", "3.14t".
        self.version = version
        #: 7 for 3.14.7.
        self.release = release
        self.kinds: dict[str, tuple[str, str]] = {}
        self.results: dict[str, Result] = {}
        #: Modules that cannot be imported, with the traceback.
        self.broken: dict[str, str] = {}
        #: Expectations about tests that this version's suite has not got.
        self.stale: list[str] = []
        self.seconds = 0.0

    def of_kind(self, kind: str) -> dict[str, Result]:
        """The results of one kind of tests."""
        return {test: result for test, result in self.results.items() if self.kinds[test][0] == kind}

    def settle(self) -> None:
        """Takes out what the run itself shows to say nothing: in loop mode, tests that never made a loop."""
        if self.orders.mode != "loop":
            return
        for test, result in self.of_kind(BEHAVIOUR).items():
            if result.loops == 0 and result.status in ("pass", "fail", "error"):
                self.kinds[test] = (NOT_APPLICABLE, "made no loop of the implementation")

    def expectation(self, test: str):
        """Why the test is expected to fail, or None. Expectations are ferrio's, not those of its peers."""
        if self.orders.implementation != "ferrio":
            return None
        return expectations.expected(test, self.orders.mode, self.version, self.release)

    def unexpected(self) -> dict[str, Result]:
        """Behaviour tests that fail and are not listed, and listed ones that pass."""
        return {
            test: result
            for test, result in self.of_kind(BEHAVIOUR).items()
            if result.status != "skip" and result.is_good == (self.expectation(test) is not None)
        }

    def listed(self) -> list[str]:
        """The behaviour tests that fail as expectations.py says."""
        return [
            test
            for test, result in self.of_kind(BEHAVIOUR).items()
            if not result.is_good and self.expectation(test) is not None
        ]

    def score(self) -> tuple[int, int]:
        """How many behaviour tests pass, and of how many."""
        counted = [result for result in self.of_kind(BEHAVIOUR).values() if result.status != "skip"]
        return sum(result.is_good for result in counted), len(counted)


def ask(python: str, expression: str) -> str:
    """The value of an expression in the interpreter, as text."""
    program = f"import os, sys; print({expression})"
    return subprocess.check_output([python, "-c", program], text=True).strip()


def run_suite(
    orders: Orders, modules: list[str], chosen: Callable[[str], bool], kinds: set[str], jobs: int, verbose: bool
) -> Run:
    """Runs the tests of the modules that are chosen by their id and of one of the kinds, one process a class."""
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
    run.results = {test: results[test] for test in run.kinds}  # in the order of the suite
    run.settle()
    run.seconds = round(time.monotonic() - started, 1)
    return run


def print_tables(run: Run) -> None:
    """Prints, for each kind, the verdicts by module."""
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
    """Prints the modules that broke, the expected failures in number, and the unexpected ones by name."""
    for module, text in run.broken.items():
        print(f"\n{module} cannot be imported: {text.strip().splitlines()[-1]}")
    for test in run.stale:
        print(f"  {test} does not exist: take it out of expectations.py, or name the versions that have it")
    if run.listed():
        print(f"\n{len(run.listed())} fail as expectations.py says")
    for test, result in run.unexpected().items():
        if result.is_good:
            print(f"  {test} passes: take it out of expectations.py")
        else:
            print(f"  {result.status:<8}{test}")
            if verbose:
                print("".join(f"      {line}\n" for line in result.text.strip().splitlines()[-12:]), end="")


def write_json(run: Run, path: Path) -> None:
    """Writes everything about the run."""
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
    parser.add_argument("--python", default=sys.executable, help="the interpreter whose tests run (default: this one)")
    parser.add_argument("--mode", choices=MODES, default="module")
    parser.add_argument("--impl", default="ferrio", help="what to test: any importable module (default: ferrio)")
    parser.add_argument("--modules", help="comma separated; default: all of test.test_asyncio")
    parser.add_argument("--only", default="", metavar="REGEX", help="of the test ids")
    parser.add_argument("--kinds", default=BEHAVIOUR, help="comma separated kinds to run, or 'all'")
    parser.add_argument("--timeout", type=float, default=30, help="seconds for one test")
    parser.add_argument("--jobs", type=int, default=2, help="worker processes at a time")
    parser.add_argument("--adapt", action="store_true", help="adapted helpers for asyncio too: checks the helpers")
    parser.add_argument("--output", type=Path, help="write the results as JSON")
    parser.add_argument("-v", "--verbose", action="store_true", help="progress, and the ends of tracebacks")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    # Not resolved: the path of a virtual environment's link is what makes it that environment.
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
