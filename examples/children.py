"""Child processes: several at once, one read line by line, one that takes too long, one that doesn't exist.

Shows `create_subprocess_exec` with pipes. The loop stays free the whole time, even while a child is starting.
"""

import signal
from subprocess import PIPE

import ferrio as asyncio


async def count_words(text):
    """`wc` gets its input from us, and we read its output."""
    child = await asyncio.create_subprocess_exec("wc", "-w", stdin=PIPE, stdout=PIPE)
    output, _ = await child.communicate(text.encode())
    return int(output)


async def follow(script):
    """Each line arrives as soon as the child has written it."""
    child = await asyncio.create_subprocess_shell(script, stdout=PIPE)
    async for line in child.stdout:
        print(f"  {line.decode().rstrip()}")
    print(f"it ended with status {await child.wait()}")


async def give_up():
    child = await asyncio.create_subprocess_exec("sleep", "1000")
    try:
        async with asyncio.timeout(0.5):
            await child.wait()
    except TimeoutError:
        child.terminate()
        print(f"too slow: ended by {signal.Signals(-await child.wait()).name}")


async def main():
    texts = ["one", "two words", "three words here"]
    print("words:", *await asyncio.gather(*map(count_words, texts)))
    await follow("for step in 1 2 3; do echo step $step; done; exit 4")
    await give_up()
    try:
        await asyncio.create_subprocess_exec("no-such-program")
    except FileNotFoundError as error:
        print(f"not found: {error.filename}")


if __name__ == "__main__":
    asyncio.run(main())
