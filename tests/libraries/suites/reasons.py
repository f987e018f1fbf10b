"""Tests of other people's suites whose outcome on ferrio differs from asyncio's, each with the reason. Nothing else may
differ; `run.py` fails if something does, or if one of these doesn't any more.
"""

# (suite, the test's id): why
REASONS: dict[tuple[str, str], str] = {
    ("aiohttp", "tests/test_connector.py::test_start_tls_connection_returns_none"): (
        "expects `None` of `start_tls` on a closed transport; ferrio's raises `ConnectionAbortedError`, and aiohttp"
        " the same `ClientConnectorError` with another text"
    ),
    ("aiohttp", "tests/test_web_functional.py::test_keepalive_expires_on_time[pyloop]"): (
        "replaces the loop's `time` by a mock; ferrio's timers are due by its own clock"
    ),
    ("uvicorn", "tests/test_auto_detection.py::test_loop_auto"): (
        "asks whether the name of the module of the loop's class begins with `asyncio`"
    ),
    ("uvicorn", "tests/test_compat.py::test_asyncio_run__default_loop_factory"): (
        "asks whether the loop that `asyncio.run` makes is an instance of asyncio's own class, while the policy makes"
        " ferrio's"
    ),
}
