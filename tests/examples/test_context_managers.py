"""context_managers.py: whatever was opened is closed in reverse order, also after an error."""

OUTPUT = """\
open first
begin on first
work
commit
close first
open second
begin on second
roll back: the work failed
close second
open left
open right
both open
close right
close left
3
2
1
[16, 4]
"""


def test_output(run_example):
    assert run_example("context_managers.py") == OUTPUT
