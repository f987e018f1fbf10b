"""words.py: ticks and words take turns, the worker is cancelled, and the program ends."""

OUTPUT = """\
  tick 1
one
  tick 2
loop
  tick 3
runs
  tick 4
them
  tick 5
all
  stopped after 5 ticks
cancelled: True
"""


def test_output(run_example):
    assert run_example("words.py") == OUTPUT
