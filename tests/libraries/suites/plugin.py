"""The pytest plugin that runs another project's test suite on ferrio and records the outcome of each test.

    python -m pytest -p plugin ...        with these variables:
    FERRIO_SUITE_WAY       "asyncio"; "loop": the policy makes ferrio's loops; "install": `ferrio.install()`
    FERRIO_SUITE_OUTCOMES  the file to write: JSON, the test's id: "passed", "failed", "skipped", "xfailed"...

It is loaded before anything in the suite, so under `install()` whatever the suite imports from asyncio is ferrio's.
"""

import asyncio
import json
import os
import pathlib
import warnings

WAY = os.environ["FERRIO_SUITE_WAY"]

# How bad an outcome is: a test that passed but whose teardown failed has failed.
RANK = ["passed", "xfailed", "skipped", "xpassed", "failed"]

if WAY == "loop":
    import ferrio

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        asyncio.set_event_loop_policy(ferrio.EventLoopPolicy())
elif WAY == "install":
    import ferrio

    ferrio.install()

outcomes: dict[str, str] = {}


def pytest_runtest_logreport(report):
    outcome = report.outcome
    if hasattr(report, "wasxfail"):
        outcome = "xfailed" if outcome == "skipped" else "xpassed"
    before = outcomes.get(report.nodeid, "passed")
    outcomes[report.nodeid] = max(before, outcome, key=RANK.index)


def pytest_collectreport(report):
    if report.failed:
        outcomes[report.nodeid] = "failed"


def pytest_sessionfinish(session):
    # An xdist worker reports to its parent.
    if not hasattr(session.config, "workerinput"):
        pathlib.Path(os.environ["FERRIO_SUITE_OUTCOMES"]).write_text(json.dumps(outcomes, indent=0))
