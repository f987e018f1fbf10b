"""Clocks that loops share and a test moves, and loops that ask before they wait for ever."""

import asyncio
import gc
import socket
import time
import weakref

import pytest

import ferrio
from ferrio._ferrio import _VirtualClock


class Stuck(Exception):
    """What a loop raises that would wait for ever."""


@pytest.fixture
def clock():
    return _VirtualClock()


@pytest.fixture
def loop(clock):
    made = ferrio.EventLoop(virtual_time=clock)
    yield made
    made.close()


def refuse(loop, seconds, watched):
    raise Stuck(seconds, watched)


def test_clock_begins_at_zero_and_jumps(clock, loop):
    assert clock.time() == loop.time() == 0
    loop.run_until_complete(asyncio.sleep(0.1))
    loop.run_until_complete(asyncio.sleep(0.2))
    assert clock.time() == loop.time() == pytest.approx(0.3, abs=1e-8)


def test_loops_share_a_clock(clock, loop):
    loop.run_until_complete(asyncio.sleep(3600))
    other = ferrio.EventLoop(virtual_time=clock)
    assert other.time() == 3600
    other.run_until_complete(asyncio.sleep(1))
    other.close()
    assert loop.time() == 3601


def test_moving_makes_timers_due(clock, loop):
    due = []
    loop.call_later(5, due.append, 5)
    loop.call_later(9, due.append, 9)
    clock.advance(6)
    loop.run_until_complete(asyncio.sleep(0))
    assert (due, loop.time()) == ([5], 6)


@pytest.mark.parametrize("wrong", [-1, float("nan"), -float("inf")])
def test_clock_refuses_steps_back(clock, wrong):
    with pytest.raises(ValueError, match="can't move"):
        clock.advance(wrong)
    assert clock.time() == 0


def test_clock_may_move_beyond_all_times(clock):
    clock.advance(float("inf"))
    clock.advance(1)
    assert clock.time() > 1e9


def test_loop_asks_before_it_waits_for_ever(loop):
    loop._ask_when_stuck(refuse)
    with pytest.raises(Stuck) as raised:
        loop.run_until_complete(loop.create_future())
    assert raised.value.args == (0.0, 0)
    # It runs again afterwards.
    assert loop.run_until_complete(asyncio.sleep(1, "slept")) == "slept"


def test_loop_on_real_time_asks_too():
    loop = ferrio.EventLoop()
    loop._ask_when_stuck(refuse)
    with pytest.raises(Stuck):
        loop.run_forever()
    loop.close()


def test_loop_waits_as_long_as_the_answer_says(loop):
    asked = []

    def ask(loop, seconds, watched):
        asked.append(seconds)
        if len(asked) == 3:
            loop.stop()
        return 0.001

    loop._ask_when_stuck(ask)
    loop.run_forever()
    assert asked == [0.0, 0.001, 0.002]


def test_what_comes_begins_the_wait_anew(loop):
    asked = []

    def ask(loop, seconds, watched):
        asked.append(seconds)
        if len(asked) == 2:
            loop.call_soon(list)
        if len(asked) == 3:
            loop.call_soon_threadsafe(loop.stop)
        return 0.001

    loop._ask_when_stuck(ask)
    loop.run_forever()
    assert asked[:2] == [0.0, 0.001]
    assert asked[2] >= 0.0


def test_question_counts_watched_descriptors(loop):
    left, right = socket.socketpair()
    with left, right:
        loop.add_reader(left, list)
        loop._ask_when_stuck(refuse)
        with pytest.raises(Stuck) as raised:
            loop.run_forever()
        assert raised.value.args == (0.0, 1)
        loop.remove_reader(left)


def test_jobs_are_waited_for_without_a_question(loop):
    loop._ask_when_stuck(refuse)
    assert loop.run_until_complete(ferrio.to_thread(time.sleep, 0.01)) is None
    assert loop.run_until_complete(ferrio.to_thread(str, 5)) == "5"
    loop.run_until_complete(loop.shutdown_default_executor())


def test_timers_are_waited_for_without_a_question(loop):
    loop._ask_when_stuck(refuse)
    loop.run_until_complete(asyncio.sleep(3600))


@pytest.mark.parametrize("answer", ["soon", -1.0, float("nan"), None])
def test_wrong_answer_ends_the_run(loop, answer):
    loop._ask_when_stuck(lambda *_: answer)
    with pytest.raises((TypeError, ValueError)):
        loop.run_forever()


def test_question_can_be_taken_back(loop):
    loop._ask_when_stuck(refuse)
    loop._ask_when_stuck(None)
    loop.call_later(1, loop.stop)
    loop.run_forever()


def test_circle_through_the_question_is_collected():
    loop = ferrio.EventLoop()
    loop._ask_when_stuck(lambda *_, loop=loop: 1.0)
    loop.close()
    gone = weakref.ref(loop)
    del loop
    gc.collect()
    assert gone() is None
