"""Reports about objects of the program that raise, lie about their class, or have endless names: each is shown as far
as it can be, and all others are shown as without it."""

import contextlib
import os
import threading

import pytest
from tests.unit.programs import run_program

import ferrio
from ferrio.cli import programs
from ferrio.sight import agent, objects, shutdown, stacks, stuck, watch

# Classes: an exception of the whole module would keep, by its traceback, whatever raised it.
MISBEHAVES = [ValueError, RecursionError, SystemExit, BaseException]


class Liar:
    """Answers every question by an exception of its class `error`, and can be awaited."""

    def __init__(self, error):
        object.__setattr__(self, "_error", error)

    def __getattribute__(self, name):
        if name in ("_error", "__await__"):
            return object.__getattribute__(self, name)
        raise self._error

    def __repr__(self):
        raise self._error

    def __await__(self):
        yield from ferrio.get_running_loop().create_future().__await__()


class LyingTask(ferrio.Task):
    """A task that answers by exceptions."""

    def get_name(self):
        raise ValueError("no name")

    def get_coro(self):
        raise SystemExit("no coroutine")

    def __repr__(self):
        raise BaseException("no repr")


class NoName(str):
    """A name that fails where a name is used."""

    def __repr__(self):
        raise ValueError("no repr")

    def __len__(self):
        raise ValueError("no length")

    def __lt__(self, other):
        raise ValueError("no order")


class LyingLock(ferrio.Lock):
    def __repr__(self):
        raise SystemExit("no repr")


class LyingQueue(ferrio.Queue):
    def qsize(self):
        raise SystemExit("no size")

    def __repr__(self):
        return "Q" * 1_000_000


async def passes_on(awaitable):
    await awaitable


@contextlib.asynccontextmanager
async def hostile_tasks():
    """Tasks that misbehave, and between them two good ones, "holder" and "waiter", of a lock."""
    lock = ferrio.Lock()

    async def hold():
        async with lock:
            await ferrio.Event().wait()

    loop = ferrio.get_running_loop()
    made = [loop.create_task(passes_on(Liar(error))) for error in MISBEHAVES]
    made.append(loop.create_task(hold(), name="holder"))
    made.append(LyingTask(passes_on(ferrio.Event().wait()), loop=loop))
    made.append(loop.create_task(passes_on(ferrio.Event().wait()), name=NoName("bad name")))
    made.append(loop.create_task(passes_on(ferrio.Event().wait()), name="n" * 1_000_000))
    taken = LyingLock()
    await taken.acquire()
    made.append(loop.create_task(passes_on(taken.acquire())))
    made.append(loop.create_task(passes_on(LyingQueue().get())))
    made.append(loop.create_task(hold(), name="waiter"))
    await ferrio.sleep(0)
    await ferrio.sleep(0)
    try:
        yield made
    finally:
        for task in made:
            task.cancel()
        await ferrio.gather(*made, return_exceptions=True)


def test_the_tree_shows_the_others():
    async def main():
        async with hostile_tasks() as made:
            return stuck.tree(made)

    text = ferrio.run(main())
    assert "- task 'waiter' (hostile_tasks.<locals>.hold): It waits in `async with` for <ferrio.locks.Lock" in text
    assert "held by task 'holder' (hostile_tasks.<locals>.hold)" in text
    assert "LyingLock at 0x" in text
    assert "whose repr raises SystemExit" in text
    assert len(text) < 100_000


def test_tasks_that_are_left_are_described():
    async def main():
        async with hostile_tasks() as made:
            return [shutdown.tasks_left([task], None) for task in made]

    found = ferrio.run(main())
    assert all(text.startswith("1 cancelled task(s):") and len(text) < 20_000 for text in found)
    assert "held by task 'holder'" in found[-1]


def test_the_agent_shows_the_others_and_goes_on(monkeypatch, tmp_path):
    tmp_path.chmod(0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))

    def look():
        program = programs.open_program(os.getpid())
        reply = program.ask({"do": "tasks"})
        keys = ("loop", "id", "place")
        replies = [program.ask({"do": "stack", **{key: row[key] for key in keys}}) for row in reply["tasks"]]
        program.close()
        return reply, replies

    async def main():
        async with hostile_tasks() as made:
            return len(made), *(await ferrio.to_thread(look))

    made = agent.Agent()
    try:
        count, reply, replies = ferrio.run(main())
    finally:
        made.stop()
    rows = {row["name"]: row for row in reply["tasks"]}
    assert reply["total"] == count + 1  # `main`
    assert rows["waiter"]["held_by"] == [{"loop": rows["holder"]["loop"], "id": rows["holder"]["id"], "name": "holder"}]
    assert all(len(row["name"]) < 10_000 for row in reply["tasks"])
    assert all("text" in each for each in replies)


@pytest.mark.parametrize("error", MISBEHAVES, ids=lambda error: error.__name__)
def test_the_watchdog_reports_them(error, caplog):
    class Callback:
        def __call__(self):
            assert reported.wait(30)

        def __getattr__(self, name):
            raise error

        def __repr__(self):
            raise error

    reported = threading.Event()
    blocks = []

    def on_block(block):
        blocks.append(block)
        reported.set()

    async def main():
        ferrio.get_running_loop().call_soon(Callback())
        await ferrio.sleep(0)

    with watch(0.01, on_block):
        ferrio.run(main())
    assert "Callback" in blocks[0].description
    assert "has blocked the loop" in blocks[0].text


def test_a_signal_prints_the_others(tmp_path):
    text = run_program(
        """
        import asyncio, os, signal

        class Name(str):
            def __len__(self):
                raise ValueError

        class Mute(asyncio.Event):
            def __repr__(self):
                raise SystemExit

        async def main():
            tasks = [asyncio.create_task(event.wait(), name=name) for event, name in (
                (asyncio.Event(), "good"), (Mute(), "mute"), (asyncio.Event(), Name("bad")))]
            await asyncio.sleep(0)
            os.kill(os.getpid(), signal.SIGUSR1)
            await asyncio.sleep(0)

        asyncio.run(main())
        """,
        options=("-m", "ferrio", "--dump-signal"),
    )
    for name in ("good", "mute", "bad"):
        assert f"- task '{name}' (Event.wait): It waits in `Event.wait` for <" in text


def test_ctrl_c_in_a_repr_comes_through():
    class Interrupted:
        def __repr__(self):
            raise KeyboardInterrupt

        def __getattr__(self, name):
            raise KeyboardInterrupt

    for question in (
        lambda: stacks.describe(Interrupted()),
        lambda: objects.value(Interrupted(), "x"),
        lambda: objects.call(Interrupted(), "x"),
        lambda: objects.has(Interrupted(), "x"),
    ):
        with pytest.raises(KeyboardInterrupt):
            question()
