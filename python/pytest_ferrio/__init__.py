"""pytest's plugin: `ferrio = true` runs a suite on ferrio, and `@pytest.mark.ferrio` puts a test on a test bench.

pytest loads this file in every run if ferrio is installed. So it is a separate package: unless the configuration or a
mark asks for it, it imports nothing of ferrio and changes nothing. `suite` has what concerns the whole run, `item` what
concerns one test, and `exploring` runs a test many times.

Invariant: every change is undone when the test or the run ends.
"""

from __future__ import annotations

from pytest_ferrio.exploring import pytest_runtest_protocol
from pytest_ferrio.item import (
    ferrio_clock,
    pytest_runtest_call,
    pytest_runtest_setup,
    pytest_runtest_teardown,
)
from pytest_ferrio.suite import (
    pytest_addoption,
    pytest_configure,
    pytest_load_initial_conftests,
    pytest_report_header,
    pytest_unconfigure,
)

__all__ = (
    "ferrio_clock",
    "pytest_addoption",
    "pytest_configure",
    "pytest_load_initial_conftests",
    "pytest_report_header",
    "pytest_runtest_call",
    "pytest_runtest_protocol",
    "pytest_runtest_setup",
    "pytest_runtest_teardown",
    "pytest_unconfigure",
)
