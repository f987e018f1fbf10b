"""Many files read at once, while the loop stays free: how many words are in a folder of notes?

Shows `ferrio.open`: the standard `open` in `async with`, for files whose methods are awaited. `async for` reads a file
line by line. A `Semaphore` keeps the number of open files small, and a queue passes each result on as soon as it is
there. asyncio has no files, so this program runs only on ferrio.
"""

import collections
import pathlib
import tempfile

import ferrio as asyncio

WORDS = ["time", "flies", "like", "an", "arrow", "fruit", "flies", "like", "a", "banana"]


async def write_note(path, number, lines, slots):
    async with slots, asyncio.open(path, "w") as file:
        for line in range(lines):
            first = (number + line) % len(WORDS)
            await file.write(" ".join(WORDS[first:] + WORDS[:first]) + "\n")


async def process(path, slots, results):
    """Count the words of one file."""
    counted = collections.Counter()
    async with slots, asyncio.open(path) as file:
        async for line in file:
            counted.update(line.split())
    await results.put(counted)


async def main():
    slots = asyncio.Semaphore(8)  # files open at the same time
    results = asyncio.Queue()
    total = collections.Counter()
    with tempfile.TemporaryDirectory() as name:
        paths = [pathlib.Path(name, f"note-{number:03}.txt") for number in range(200)]
        await asyncio.gather(*[write_note(path, number, 200 - number, slots) for number, path in enumerate(paths)])
        async with asyncio.TaskGroup() as group:
            for path in paths:
                group.create_task(process(path, slots, results))
            for done in range(1, len(paths) + 1):
                total += await results.get()
                if done % 50 == 0:
                    print(f"{done} files read")

    print(f"{total.total()} words, {len(total)} different ones")
    for word in sorted(total):
        print(f"  {word}: {total[word]}")


if __name__ == "__main__":
    asyncio.run(main())
