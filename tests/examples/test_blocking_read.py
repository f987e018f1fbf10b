"""blocking_read.py: the worker ticks while the read blocks its thread, and the read gets what was written."""

OUTPUT = """\
reading
tick 1
tick 2
tick 3
read: hello from the worker
"""


def test_output(run_example):
    assert run_example("blocking_read.py") == OUTPUT
