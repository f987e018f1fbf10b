"""three_yields.py: the other task runs once at each of the three yields."""

OUTPUT = """\
yield 1
  other runs, turn 1
yield 2
  other runs, turn 2
yield 3
  other runs, turn 3
done after 3 yields
"""


def test_output(run_example):
    assert run_example("three_yields.py") == OUTPUT
