"""Tests of other people's suites whose outcome on ferrio differs from asyncio's, each with the reason. Nothing else may
differ; `run.py` fails if something does, or if one of these doesn't any more.
"""

# (suite, the test's id): why
REASONS: dict[tuple[str, str], str] = {
    ("uvicorn", "tests/test_auto_detection.py::test_loop_auto"): (
        "asks whether the name of the module of the loop's class begins with `asyncio`"
    ),
    ("uvicorn", "tests/test_compat.py::test_asyncio_run__default_loop_factory"): (
        "asks whether the loop that `asyncio.run` makes is an instance of asyncio's own class, while the policy makes"
        " ferrio's"
    ),
}
