"""children.py: what the children print, and how each of them ends."""

OUTPUT = """\
words: 1 2 3
  step 1
  step 2
  step 3
it ended with status 4
too slow: ended by SIGTERM
not found: no-such-program
"""


def test_output(run_example):
    assert run_example("children.py") == OUTPUT
