"""The message about a foreign loop, when a program was started on ferrio but a server chose another loop."""

import subprocess
import sys
import textwrap

import pytest

# A package with its own loop, which like uvloop's isn't a subclass of asyncio's.
FAST_LOOP = """
import asyncio

def wrapped(loop):
    class Loop(asyncio.AbstractEventLoop):
        def __getattribute__(self, name):
            return getattr(loop, name)
    Loop.__module__ = "fastloop"
    return Loop()

def new_event_loop():
    return wrapped(asyncio.DefaultEventLoopPolicy().new_event_loop())

class EventLoopPolicy(asyncio.DefaultEventLoopPolicy):
    def new_event_loop(self):
        return wrapped(super().new_event_loop())

def run(main):
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(main)

def install():
    asyncio.set_event_loop_policy(EventLoopPolicy())
"""

# A server that chooses that loop by itself.
UVICORN = """
import asyncio, fastloop

async def serve():
    print("served")

def run_by_factory():
    with asyncio.Runner(loop_factory=fastloop.new_event_loop) as runner:
        runner.run(serve())

def run_by_policy():
    asyncio.set_event_loop_policy(fastloop.EventLoopPolicy())
    asyncio.run(serve())

def run_by_hand():
    loop = fastloop.new_event_loop()
    asyncio.set_event_loop(loop)
    loop.run_until_complete(serve())
    asyncio.set_event_loop(None)
    loop.close()
"""


@pytest.fixture
def started(tmp_path):
    """Runs a program beside the two packages; returns what it wrote to standard error."""
    (tmp_path / "fastloop.py").write_text(FAST_LOOP)
    (tmp_path / "uvicorn.py").write_text(UVICORN)

    def run(source, *command):
        (tmp_path / "app.py").write_text(textwrap.dedent(source))
        done = subprocess.run(
            [sys.executable, "-W", "ignore", *command, "app.py"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stderr

    return run


ON_FERRIO = ("-m", "ferrio")


@pytest.mark.parametrize("way", ["run_by_factory", "run_by_policy", "run_by_hand"])
def test_message_names_the_loop_the_chooser_and_the_remedy(started, way):
    source = f"""
    import uvicorn
    for _ in range(2):
        uvicorn.{way}()
    """
    said = started(source, *ON_FERRIO)
    line = UVICORN.splitlines().index(f"def {way}():") + 1
    assert said.startswith("This program was started on ferrio, but fastloop's loop runs: uvicorn chose it (")
    place, _, advice = said.partition("). ")
    assert line < int(place.rpartition(":")[2]) <= line + 3
    assert "uvicorn.py:" in place
    assert advice == (
        "For ferrio's loop: uvicorn --loop ferrio:new_event_loop, or loop='ferrio:new_event_loop' in uvicorn.run().\n"
    )


@pytest.mark.parametrize("way", ["run(main())", "install(); asyncio.run(main())"])
def test_message_says_that_the_program_chose_the_loop(started, way):
    source = f"""
    import asyncio, fastloop
    async def main(): print("ran")
    fastloop.{way}
    """
    said = started(source, *ON_FERRIO)
    assert "fastloop's loop runs: the program chose it (" in said
    assert "app.py:4)" in said
    assert "give it the loop factory ferrio.new_event_loop" in said


def test_message_also_comes_after_install(started):
    source = """
    import ferrio
    ferrio.install()
    import uvicorn
    uvicorn.run_by_factory()
    """
    assert "uvicorn chose it" in started(source)


def test_no_message_without_install(started):
    source = """
    import ferrio, fastloop, asyncio, uvicorn
    uvicorn.run_by_factory()
    async def main(): print("ran")
    with ferrio.Runner(loop_factory=fastloop.new_event_loop) as runner:
        runner.run(main())
    """
    assert started(source) == ""


def test_no_message_about_ferrios_loops_and_subclasses_of_asyncios(started):
    source = """
    import asyncio
    from asyncio import base_events, selector_events
    class Loop(selector_events.BaseSelectorEventLoop):
        pass
    async def main(): print("ran")
    asyncio.run(main())
    loop = Loop()
    asyncio.set_event_loop(loop)
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(main())
    """
    assert started(source, *ON_FERRIO) == ""
