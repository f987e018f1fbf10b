"""`--ferrio-explore` with pytest-asyncio and anyio's plugin: their tests and fixtures run under many orders."""

import pytest

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.timeout(240)  # a suite takes seconds, or longer on a busy machine

SUITE = """
import asyncio
import pytest
import pytest_asyncio

@pytest.fixture
def anyio_backend():
    return "asyncio"

async def opens_twice(opened):
    async def get(turns):
        for _ in range(turns):
            await asyncio.sleep(0)
        if not opened:
            await asyncio.sleep(0)
            opened.append(1)

    await asyncio.gather(get(0), get(3))
    assert len(opened) == 1

@pytest_asyncio.fixture
async def opened():
    await asyncio.sleep(60)
    return []

@pytest.fixture
async def opened_of_anyio(anyio_backend):
    await asyncio.sleep(60)
    return []

@pytest.mark.asyncio
async def test_pytest_asyncio(opened):
    await opens_twice(opened)

@pytest.mark.anyio
async def test_anyio(opened_of_anyio):
    await opens_twice(opened_of_anyio)

@pytest.mark.asyncio
async def test_without_a_fault(opened):
    await asyncio.gather(asyncio.sleep(3600), asyncio.sleep(0))
"""


def test_tests_of_plugins_are_explored(pytester):
    pytester.makepyfile(SUITE)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "--ferrio-explore=60")
    result.assert_outcomes(failed=2, passed=1)
    result.stdout.fnmatch_lines(["run * of 60 failed, seed *--ferrio-replay=*"] * 2)
