"""process_pool.py: the pool's processes do the counting, not the program's own process."""

OUTPUT = """\
25 primes below 100, counted in another process
1229 primes below 10000, counted in another process
78498 primes below 1000000, counted in another process
"""


def test_output(run_example):
    assert run_example("process_pool.py") == OUTPUT
