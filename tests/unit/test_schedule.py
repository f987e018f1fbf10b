"""Schedules as text, and how they are made shorter."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferrio.testing import schedule

choices = st.lists(st.integers(0, 5), max_size=40)


@given(choices)
def test_text_is_read_again(given):
    read = schedule.parse(schedule.text(given))
    assert read + [0] * (len(given) - len(read)) == given or (read == [0] * len(read) and not any(given))


def test_zeros_are_counted():
    assert schedule.text([0] * 12 + [2, 0, 0, 0, 1, 0]) == "z12.2.z3.1"
    assert schedule.text([]) == schedule.text([0, 0]) == "z0"
    assert schedule.parse("z0") == []


@pytest.mark.parametrize("wrong", ["", "one", "1..2", "z", "-1", "1.z2x"])
def test_other_text_is_refused(wrong):
    with pytest.raises(ValueError, match="isn't a schedule"):
        schedule.parse(wrong)


@given(choices, st.sets(st.integers(0, 39), max_size=3))
def test_what_is_not_needed_becomes_zero(given, needed):
    needed = {at for at in needed if at < len(given) and given[at]}

    def attempt(tried):
        return tried if all(at < len(tried) and tried[at] == given[at] for at in needed) else None

    shortest, used = schedule.shrink(given, attempt)
    assert {at for at, choice in enumerate(shortest) if choice} == needed
    assert used <= 300


def test_it_stops_after_so_many_runs():
    tried = []
    shortest, used = schedule.shrink([1] * 100, lambda choices: tried.append(choices), runs=10)
    assert (shortest, used, len(tried)) == ([1] * 100, 10, 10)


def test_a_file_is_for_another_function(tmp_path):
    with pytest.raises(TypeError, match="replay_recording"):
        schedule.parse(tmp_path)
