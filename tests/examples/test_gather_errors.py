"""gather_errors.py: the first error, all errors as results, and all errors together."""

OUTPUT = """\
gather:
  caught ZeroDivisionError('division by zero')
  6/3 = 2.0
gather with return_exceptions:
  6/3 = 2.0
  result 2.0
  result ZeroDivisionError('division by zero')
task group:
  6/3 cancelled
  caught (ZeroDivisionError('division by zero'),)
"""


def test_output(run_example):
    assert run_example("gather_errors.py") == OUTPUT
