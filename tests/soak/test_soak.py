"""A few seconds of the soak in whole, one with a leak on purpose, and its rule on made-up lines. Long runs are
`make soak`.
"""

import json

import pytest
from tests.soak import levels, picture, run

#: Short periods, so that there are enough rests.
SHORT = ["--seconds", "12.5", "--period", "2.5", "--rest", "1.5", "--idle", "0.4", "--rate", "30"]


def soak(tmp_path, *arguments):
    """Runs a short soak; returns the exit status and what it wrote."""
    status = run.main([*SHORT, "--out", str(tmp_path / "soak"), *arguments])
    return status, json.loads((tmp_path / "soak.json").read_text())


def test_nothing_rises(tmp_path):
    status, found = soak(tmp_path)
    assert found["wrong"] == []
    assert status == 0
    # It was a soak: work was done, and disturbed.
    assert sum(found["ends"]["load"]["counts"].values()) > 50
    assert sum(found["ends"]["disturb"]["counts"].values()) > 10
    judged = {each["line"] for each in found["verdicts"]["server"] if each["rises"] is False}
    assert judged == set(levels.LINES) - set(levels.SLOW)
    assert "<polyline" in (tmp_path / "soak.svg").read_text()


def test_a_leak_is_noticed(tmp_path):
    status, found = soak(tmp_path, "--leak", "descriptors")
    assert "server: descriptors rises" in found["wrong"]
    assert status == 1


def samples(line, values, every=30.0):
    return [{"t": number * every, line: value} for number, value in enumerate(values)]


@pytest.mark.parametrize(
    ("line", "values", "rises"),
    [
        ("tasks", [5] * 60, False),
        ("tasks", [5 + number for number in range(60)], True),
        # One task in ten minutes.
        ("tasks", [5 + number // 20 for number in range(60)], True),
        # Two rare steps.
        ("descriptors", [30] * 20 + [32] * 20 + [34] * 20, True),
        # What is there for once isn't a rise, and what only falls isn't either.
        ("descriptors", [30] * 40 + [35] + [30] * 19, False),
        ("descriptors", [90 - number for number in range(60)], False),
        ("rss", [50 + (number % 3) for number in range(60)], False),
        # A megabyte in five minutes, below noise that is larger.
        ("rss", [50 + number * 0.1 + (number % 3) for number in range(60)], True),
        # The warm-up may rise.
        ("rss", [50 + 10 * min(number, 10) for number in range(60)], False),
    ],
)
def test_rule(line, values, rises):
    (verdict,) = levels.judge(samples(line, values), 60 * 30.0)
    assert verdict.rises is rises, verdict


def test_memory_is_not_judged_in_a_short_run():
    (verdict,) = levels.judge(samples("rss", [50 + number for number in range(10)], every=3.0), 30.0)
    assert verdict.rises is None
    assert "300 s" in str(verdict)


def test_too_few_samples_are_no_verdict():
    (verdict,) = levels.judge(samples("tasks", [1, 2]), 100.0)
    assert verdict.rises is None


def test_lines_are_drawn_once_each():
    kept = [{"t": number * 1.0, "rest": number % 10 == 9, "tasks": 3, "rss": 50.0} for number in range(100)]
    drawn = picture.draw({"seconds": 100.0, "samples": {"server": kept}}, "dark")
    assert drawn.count("<polyline") == 2
    assert drawn.count("<circle") == 2 * 10 + 1
