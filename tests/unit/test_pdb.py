"""The standard debugger in coroutines: stopping, stepping over and into an `await`, walking the stack, and (from Python
3.14 on) awaiting at its prompt.

The same session runs on asyncio and in each way on ferrio, and must print the same.
"""

import re
import subprocess
import sys

import pytest

WAYS = {
    "import ferrio as asyncio": ["app.py", "ferrio"],
    "python -m ferrio": ["-m", "ferrio", "app.py", "asyncio"],
    "the loop alone": ["app.py", "loop"],
}

PROGRAM = """
import importlib
import pdb
import sys

asyncio = importlib.import_module("asyncio" if sys.argv[1] == "loop" else sys.argv[1])


async def leaf(value):
    await asyncio.sleep(0)
    return value * 2


async def first(value):
    value += 1
    breakpoint()
    doubled = await leaf(value)
    return doubled


async def second():
    {second}
    queue = asyncio.Queue()
    queue.put_nowait(5)
    item = await queue.get()
    print("item:", item)


def called(done):
    breakpoint()
    done.set_result("called")


async def main():
    print(await asyncio.create_task(first(1), name="first"))
    await asyncio.gather(second(), leaf(3))
    done = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(called, done)
    print(await done)


if sys.argv[1] == "loop":
    import ferrio

    with asyncio.Runner(loop_factory=ferrio.new_event_loop) as runner:
        runner.run(main())
else:
    asyncio.run(main())
"""

# `breakpoint()` stops at its own line from Python 3.13 on, before that at the next.
LINE = ["next"] if sys.version_info >= (3, 13) else []
IN_FIRST = ["p value", "where", "p asyncio.current_task().get_name()", *LINE, "next", "p doubled", "up", "p done"]
IN_FIRST += ["continue"]
IN_SECOND = [*LINE, "next", "next", "p item", "continue"]
IN_CALLED = ["p asyncio.current_task()", "where", *LINE, "p done.done()", "continue"]


def session(folder, arguments, commands, second="breakpoint()"):
    """Returns what a session prints, without prompts, and with no frames but those of the program's functions."""
    (folder / "app.py").write_text(PROGRAM.format(second=second))
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        input="\n".join(commands) + "\n",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout
    printed = done.stdout.replace(f"{folder}/", "").replace("(Pdb) ", "")
    # A frame is two lines: where it is, and the line of code if that can be found.
    printed = re.sub(r"^[> ] (?!app\.py\(\d+\)\w+).+\(\d+\).*\n(?:-> .*\n)?", "", printed, flags=re.MULTILINE)
    return re.sub(r"0x[0-9a-f]+", "0x", printed)


@pytest.mark.parametrize("arguments", WAYS.values(), ids=WAYS)
def test_session_is_the_same_as_on_asyncio(tmp_path, arguments):
    commands = [*IN_FIRST, *IN_SECOND, *IN_CALLED]
    expected = session(tmp_path, ["app.py", "asyncio"], commands)
    assert "called" in expected
    assert session(tmp_path, arguments, commands) == expected


@pytest.mark.skipif(sys.version_info < (3, 14), reason="pdb awaits from Python 3.14 on")
@pytest.mark.parametrize("arguments", WAYS.values(), ids=WAYS)
def test_prompt_awaits_as_on_asyncio(tmp_path, arguments):
    waits = [
        "await leaf(21)",
        "x = await asyncio.sleep(0, 'slept')",
        "p x",
        "y = await asyncio.gather(leaf(1), leaf(2))",
        "p y",
        "z = await asyncio.to_thread(str.upper, 'in a thread')",
        "p z",
        "await asyncio.wait_for(asyncio.Event().wait(), 0.001)",
    ]
    commands = [*IN_FIRST, *waits, *IN_SECOND, *IN_CALLED]
    expected = session(tmp_path, ["app.py", "asyncio"], commands, "await pdb.set_trace_async()")
    assert "slept" in expected and "IN A THREAD" in expected and "TimeoutError" in expected
    assert session(tmp_path, arguments, commands, "await pdb.set_trace_async()") == expected
