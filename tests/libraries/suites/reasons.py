"""Tests in other projects' suites whose outcome on ferrio differs from asyncio's, each with the reason. Nothing else
may differ: `run.py` fails if something else does, or if one of these no longer does.
"""

# (suite, the test's id): why
REASONS: dict[tuple[str, str], str] = {
    ("uvicorn", "tests/test_auto_detection.py::test_loop_auto"): (
        "asks whether the module name of the loop's class begins with `asyncio`"
    ),
    ("uvicorn", "tests/test_compat.py::test_asyncio_run__default_loop_factory"): (
        "asks whether `asyncio.run` makes an instance of asyncio's own loop class, although the policy makes ferrio's"
    ),
}
