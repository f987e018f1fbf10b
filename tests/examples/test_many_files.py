"""many_files.py: every word of every file is counted."""

OUTPUT = """\
50 files read
100 files read
150 files read
200 files read
201000 words, 8 different ones
  a: 20100
  an: 20100
  arrow: 20100
  banana: 20100
  flies: 40200
  fruit: 20100
  like: 40200
  time: 20100
"""


def test_output(run_example):
    assert run_example("many_files.py") == OUTPUT
