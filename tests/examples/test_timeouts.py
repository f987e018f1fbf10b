"""timeouts.py: late work is cancelled, punctual work ends, a moved deadline holds, a shielded job goes on."""

OUTPUT = """\
answer after 1 s
  the 10 s job was cancelled
wait_for: no answer within 1 s
  the 20 s job was cancelled
timeout: the block took longer than 1 s
answer after 3 s
expired: False
shield: the waiter gave up, the job goes on
answer after 2 s
"""


def test_output(run_example):
    assert run_example("timeouts.py") == OUTPUT
