"""fetch_many.py: all prices arrive, and forty requests over twenty connections take two turns of half a second."""

import pytest

OUTPUT = """\
40 prices, 7800 together
at most 20 at once, in 1.0 s
"""


def test_output(run_example):
    pytest.importorskip("aiohttp", reason="the example uses aiohttp: pip install aiohttp")
    assert run_example("fetch_many.py") == OUTPUT
