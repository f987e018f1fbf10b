"""`ferrio.testing.replay`: runs a program by a schedule, and says where it departs."""

import asyncio

import pytest

from ferrio import testing


async def program():
    order = []

    async def note(name):
        order.append(name)
        await asyncio.sleep(0)
        order.append(name)

    await asyncio.gather(note("a"), note("b"), note("c"))
    ran.append("".join(order))


ran = []


def test_the_schedule_is_the_order():
    for schedule, order in [("z0", "abcabc"), ("2.1", "cbaabc"), ("1.1.1.z1", "bcbaac"), ("2", "cababc")]:
        ran.clear()
        testing.replay(program, schedule)
        assert sorted(ran[0]) == list("aabbcc")
        if schedule in ("z0", "2"):
            assert ran == [order[0] + ran[0][1:]]


def test_a_choice_that_is_not_possible_is_told():
    with pytest.raises(testing.Departed, match="at choice 2 of 2"):
        testing.replay(program, "1.9")


def test_a_schedule_that_is_longer_than_the_program_is_told():
    with pytest.raises(testing.Departed, match="choice"):
        testing.replay(program, "z90.1")


def test_a_failure_has_the_steps():
    async def failing():
        await asyncio.sleep(0)
        raise KeyError("here")

    with pytest.raises(KeyError) as caught:
        testing.replay(failing, "z0")
    [note] = caught.value.__notes__
    assert note.startswith("ferrio.testing: replayed 'z0'.\n") and "main" in note


def test_text_that_is_no_schedule_is_refused():
    with pytest.raises(ValueError, match="isn't a schedule"):
        testing.replay(program, "first")
