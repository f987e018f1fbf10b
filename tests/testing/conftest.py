"""Runs test files as a user does: with pytest in a process of its own, and with all plugins."""

import pytest


@pytest.fixture
def suite(pytester):
    """Runs a test file; returns the outcome of each of its tests, and all that pytest said."""

    def run(source, *arguments, configuration="", conftest=""):
        pytester.makepyprojecttoml(
            "[tool.pytest.ini_options]\nasyncio_default_fixture_loop_scope = 'function'\n" + configuration
        )
        pytester.makeconftest(conftest)
        path = pytester.makepyfile(test_suite=source)
        done = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-rA", "--timeout=100", *arguments, path)
        text = done.stdout.str()
        outcomes = {}
        for line in text.splitlines():
            word, _, rest = line.partition(" ")
            if word in ("PASSED", "FAILED", "ERROR", "SKIPPED") and "::" in rest:
                outcomes[rest.split(" - ")[0].split("::")[-1]] = word
        assert outcomes, text + done.stderr.str()
        return outcomes, text

    return run
