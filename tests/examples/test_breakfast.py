"""breakfast.py: both jobs start before either ends, the results come in order, and two 2 s jobs take 2 s."""

OUTPUT = """\
start coffee
start eggs
coffee ready
eggs ready
served hot coffee and hot eggs after 2.0 s
"""


def test_output(run_example):
    assert run_example("breakfast.py") == OUTPUT
