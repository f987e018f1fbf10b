"""Child processes: their start and end, and data sent through them. `benches/child_processes.py` has these rows."""

import subprocess

from scenarios import scenario

PIECE = 4 << 20
AT_ONCE = 20


async def run_true(aio):
    """One child that does nothing."""
    child = await aio.create_subprocess_exec("/bin/true")
    assert await child.wait() == 0


@scenario("start and wait, one by one", n=300, unit=20)
async def children_in_turn(aio, n):
    """`/bin/true`, each waited for before the next is started."""
    for _ in range(n):
        await run_true(aio)
    return n


@scenario("start and wait, 20 at a time", n=600, unit=AT_ONCE)
async def children_at_once(aio, n):
    """`/bin/true`, twenty started and waited for together."""
    for _ in range(n // AT_ONCE):
        await aio.gather(*[run_true(aio) for _ in range(AT_ONCE)])
    return n


@scenario("4 MiB through cat", n=40, unit=1)
async def bytes_through_cat(aio, n):
    """`communicate` with 4 MiB in and out."""
    data = bytes(PIECE)
    for _ in range(n):
        child = await aio.create_subprocess_exec("/bin/cat", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        output, _ = await child.communicate(data)
        assert len(output) == PIECE
        assert child.returncode == 0
    return n
