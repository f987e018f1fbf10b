"""The process that runs the tests: `worker.py REPORT_FD`, with its orders as JSON on stdin. supervise.py starts it.

First of all it puts the implementation in asyncio's place. Then it writes one JSON object per line to REPORT_FD: a
"start" before and an "end" after each test. So the parent knows which test hangs or kills the process. The worker
decides nothing: the parent decides what counts and what is rerun.
"""

import importlib
import json
import os
import sys
import time
import traceback

# How much of a traceback fits into a report.
_TEXT_LIMIT = 4000


class Reporter:
    """Writes events to the parent."""

    def __init__(self, fd: int):
        os.set_inheritable(fd, False)  # a child that outlives its test must not hold the parent's pipe open
        self._fd = fd

    def send(self, event: str, **fields) -> None:
        data = (json.dumps({"event": event, **fields}) + "\n").encode()
        while data:
            data = data[os.write(self._fd, data) :]


class Suite:
    """CPython's test modules, loaded and adapted on demand."""

    def __init__(self, implementation, adapter):
        import unittest

        self.implementation = implementation
        self._adapter = adapter
        self._unittest = unittest
        self._loader = unittest.TestLoader()

    def tests(self, module_name: str) -> dict:
        """Returns the tests of a module of test.test_asyncio as "module.Class.test" -> TestCase."""
        module = importlib.import_module("test.test_asyncio." + module_name)
        if self._adapter is not None:
            self._adapter.module(module)
        return {
            ".".join(case.id().split(".")[-3:]): case for case in self._flat(self._loader.loadTestsFromModule(module))
        }

    def _flat(self, suite):
        for entry in suite:
            if isinstance(entry, self._unittest.TestSuite):
                yield from self._flat(entry)
            else:
                yield entry

    def run(self, case) -> tuple[str, str]:
        """Runs one test with the fixtures of its class and module. Returns its status and text."""
        result = _result_class(self._unittest)()
        try:
            self._unittest.TestSuite([case]).run(result)
        except BaseException:  # e.g. from IsolatedAsyncioTestCase's tear-down, or a KeyboardInterrupt test gone wrong
            result.record("error", traceback.format_exc())
        return result.verdict or ("skip", "the test gave no result")


def _result_class(unittest):
    class Result(unittest.TestResult):
        """Keeps the worst thing that happened in one test."""

        _GRAVITY = ("pass", "skip", "fail", "error")
        verdict = None

        def record(self, status, text=""):
            if self.verdict is None or self._GRAVITY.index(status) > self._GRAVITY.index(self.verdict[0]):
                self.verdict = (status, text)

        def addSuccess(self, test):
            self.record("pass")

        def addExpectedFailure(self, test, err):
            self.record("pass")

        def addUnexpectedSuccess(self, test):
            self.record("fail", "unexpected success")

        def addSkip(self, test, reason):
            self.record("skip", reason)

        def addFailure(self, test, err):
            self.record("fail", self._exc_info_to_string(err, test))

        def addError(self, test, err):
            self.record("error", self._exc_info_to_string(err, test))

        def addSubTest(self, test, subtest, err):
            if err is not None:
                status = "fail" if issubclass(err[0], test.failureException) else "error"
                self.record(status, self._exc_info_to_string(err, test))

    return Result


def list_tests(suite: Suite, reporter: Reporter, modules: list[str]) -> None:
    """Reports the test ids of each module, or why it can't be imported."""
    import unittest

    for module in modules:
        try:
            reporter.send("module", module=module, tests=list(suite.tests(module)))
        except unittest.SkipTest as skip:
            reporter.send("module", module=module, tests=[], skipped=str(skip))
        except BaseException:
            reporter.send("module", module=module, tests=[], broken=traceback.format_exc())


def run_tests(suite: Suite, reporter: Reporter, tests: list[str]) -> None:
    """Runs tests in the given order and reports each."""
    loaded = {}
    for test in tests:
        module = test.partition(".")[0]
        if module not in loaded:
            loaded[module] = suite.tests(module)
        reporter.send("start", test=test)
        started = time.monotonic()
        loops_before = suite.implementation.loops_made
        status, text = suite.run(loaded[module][test])
        reporter.send(
            "end",
            test=test,
            status=status,
            text=text[-_TEXT_LIMIT:],
            seconds=round(time.monotonic() - started, 3),
            loops=suite.implementation.loops_made - loops_before,
        )


def main() -> None:
    reporter = Reporter(int(sys.argv[1]))
    orders = json.load(sys.stdin)

    from switch import switch

    implementation = switch(orders["implementation"], orders["mode"])
    from test import support

    support.use_resources = ["cpu", "decimal", "largefile", "subprocess"]
    adapter = None
    if not implementation.is_identity or orders["adapt"]:
        from adapt import Adapter

        adapter = Adapter(implementation)
    suite = Suite(implementation, adapter)
    if "list" in orders:
        list_tests(suite, reporter, orders["list"])
    else:
        run_tests(suite, reporter, orders["run"])
    reporter.send("done")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # threads that a test left behind must not keep the process alive


if __name__ == "__main__":
    main()
