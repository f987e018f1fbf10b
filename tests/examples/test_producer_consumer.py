"""producer_consumer.py: the full queue holds the producer back, and every item is handled once."""

OUTPUT = """\
put 1 (queue holds 1)
put 2 (queue holds 2)
put 3 (queue holds 1)
put 4 (queue holds 2)
  quick handled 1
put 5 (queue holds 2)
  quick handled 3
put 6 (queue holds 2)
producer done
  slow handled 2
  quick handled 4
  quick handled 6
  quick leaves
  slow handled 5
  slow leaves
quick: [1, 3, 4, 6], slow: [2, 5]
all handled: True
"""


def test_output(run_example):
    assert run_example("producer_consumer.py") == OUTPUT
