"""System calls that fail one by one, and memory that runs out: a slice of what `make faults` tries.

What the kernel may do at any time changes nothing: interrupted calls, transfers in pieces, and reports that were wrong.
"""

import json
import subprocess
import sys

import pytest
from tests.faults import calls, shim, workers

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="the library is put in front of Linux' libc"),
    pytest.mark.skipif(shim.compiler() is None, reason="the library is compiled by a C compiler, which isn't there"),
    pytest.mark.timeout(180),
]


@pytest.mark.parametrize("scene", ["tcp", "encrypted", "udp", "pipes", "child", "files", "sockets", "times"])
def test_what_kernels_do_changes_nothing(scene):
    reports = list(calls.reports(scene, 2, "harmless"))
    assert [report for report in reports if report["wrong"]] == []
    # How often a loop sleeps and is woken varies.
    assert sum(report["hits"] > 0 for report in reports) > 2


@pytest.mark.parametrize("scene", ["unix", "short_child", "threads"])
def test_errors_leave_a_loop_that_goes_on(scene):
    reports = list(calls.reports(scene, 8, "harmful"))
    assert [report for report in reports if report["wrong"]] == []
    assert sum(report["hits"] > 0 for report in reports) > 5


def test_errors_reach_protocols_as_in_asyncio():
    def seen(implementation):
        command = [sys.executable, "-m", "tests.faults.surfacing", implementation]
        done = subprocess.run(command, cwd=workers.ROOT, env=shim.environment(), capture_output=True, check=True)
        return json.loads(done.stdout)

    expected = seen("asyncio")
    assert all(["hits", 1] in events for events in expected.values())
    assert seen("ferrio") == expected
