"""`datetime.now()` follows the virtual clock, by freezegun and by time-machine."""

import pytest

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.timeout(240)  # a suite takes seconds, or longer on a busy machine

SUITE = """
import asyncio, datetime, time
import freezegun, pytest, time_machine

pytestmark = pytest.mark.ferrio(virtual_time=True)

def now():
    return datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)

@pytest.mark.ferrio(wall_clock="2026-01-01 00:00+00:00")
@pytest.mark.asyncio
async def test_frozen_by_the_mark(ferrio_clock):
    assert now() == datetime.datetime(2026, 1, 1)
    await asyncio.sleep(3600.5)
    assert asyncio.get_running_loop().time() == 3600.5
    assert now() == datetime.datetime(2026, 1, 1, 1, 0, 0, 500000)
    ferrio_clock.advance(1)
    assert now() == datetime.datetime(2026, 1, 1, 1, 0, 1, 500000)
    assert time.time() == datetime.datetime(2026, 1, 1, 1, 0, 1, 500000, datetime.timezone.utc).timestamp()

@pytest.mark.ferrio(wall_clock=True)
def test_from_now_on():
    async def main():
        before = now()
        await asyncio.sleep(86400)
        assert now() - before == datetime.timedelta(days=1)
    asyncio.run(main())

@pytest.mark.ferrio(wall_clock=True)
@freezegun.freeze_time("2020-02-02")
def test_frozen_by_freezegun():
    async def main():
        assert now() == datetime.datetime(2020, 2, 2)
        for _ in range(1000):
            await asyncio.sleep(0.0001)
        assert now() == datetime.datetime(2020, 2, 2, 0, 0, 0, 100000)
        with freezegun.freeze_time("2021-02-02"):
            await asyncio.sleep(1)
            assert now() == datetime.datetime(2021, 2, 2, 0, 0, 1)
        assert now() == datetime.datetime(2020, 2, 2, 0, 0, 1, 100000)
    asyncio.run(main())

@pytest.mark.ferrio(wall_clock=True)
def test_frozen_by_time_machine():
    async def main():
        with time_machine.travel(datetime.datetime(2020, 2, 2, tzinfo=datetime.timezone.utc), tick=False):
            assert now() == datetime.datetime(2020, 2, 2)
            await asyncio.sleep(86400)
            assert now() == datetime.datetime(2020, 2, 3)
    asyncio.run(main())

@freezegun.freeze_time("2020-02-02")
def test_stands_still_unasked():
    async def main():
        await asyncio.sleep(86400)
        assert now() == datetime.datetime(2020, 2, 2)
    asyncio.run(main())

def test_is_thawed_afterwards():
    assert now() > datetime.datetime(2026, 1, 2)
    assert abs(now().timestamp() - REAL) < 86400

REAL = now().timestamp()
"""

# What a user may have: either library, or none.
HIDE = """
import sys
for name in {hidden}:
    sys.modules[name] = None
"""
ONE = """
import asyncio, datetime, pytest

@pytest.mark.ferrio(virtual_time=True, wall_clock="2026-01-01 00:00+00:00")
def test_one():
    async def main():
        await asyncio.sleep(3600)
        assert datetime.datetime.now(datetime.timezone.utc).hour == 1
    asyncio.run(main())
"""


def test_wall_clock(suite):
    outcomes, text = suite(SUITE)
    assert len(outcomes) == 6
    assert set(outcomes.values()) == {"PASSED"}, text


@pytest.mark.parametrize("hidden", ["freezegun", "time_machine"])
def test_either_library_is_enough(suite, hidden):
    outcomes, text = suite(ONE, "-p", f"no:{hidden}", conftest=HIDE.format(hidden=[hidden]))
    assert outcomes == {"test_one": "PASSED"}, text


def test_without_a_library_it_says_so(suite):
    plugins = ["-p", "no:freezegun", "-p", "no:time_machine"]
    outcomes, text = suite(ONE, *plugins, conftest=HIDE.format(hidden=["freezegun", "time_machine"]))
    assert outcomes == {"test_one": "ERROR"}, text
    assert "wall_clock needs time-machine or freezegun" in text


def test_wall_clock_by_configuration(suite):
    setting = "ferrio_virtual_time = true\nferrio_wall_clock = '2026-01-01 00:00+00:00'"
    outcomes, text = suite(ONE.replace(', wall_clock="2026-01-01 00:00+00:00"', ""), configuration=setting)
    assert outcomes == {"test_one": "PASSED"}, text
