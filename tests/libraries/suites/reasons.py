"""Tests of other people's suites whose outcome on ferrio differs from asyncio's, each with the reason. Nothing else may
differ; `run.py` fails if something does, or if one of these doesn't any more.
"""

# (suite, the test's id): why
REASONS: dict[tuple[str, str], str] = {}
