"""Many files read at once, while the loop stays free: how many words are in a folder of notes?

Shows `to_thread` for what blocks: reading a file does, even where it is quick. A `Semaphore` keeps the number of open
files small, and a queue hands each result on as soon as it is there.
"""

import collections
import pathlib
import tempfile

import ferrio as asyncio

WORDS = ["time", "flies", "like", "an", "arrow", "fruit", "flies", "like", "a", "banana"]


def write_notes(folder, count):
    """Make `count` files, the longest first."""
    for number in range(count):
        text = " ".join(WORDS[(number + step) % len(WORDS)] for step in range(10 * (count - number)))
        (folder / f"note-{number:03}.txt").write_text(text)


def count_words(path):
    """What a thread does for one file: read it all and count."""
    return collections.Counter(path.read_text().split())


async def process(path, slots, results):
    async with slots:
        await results.put((path.name, await asyncio.to_thread(count_words, path)))


async def main():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        await asyncio.to_thread(write_notes, folder, 200)
        paths = sorted(folder.iterdir())

        slots = asyncio.Semaphore(8)  # files open at the same time
        results = asyncio.Queue()
        total = collections.Counter()
        async with asyncio.TaskGroup() as group:
            for path in paths:
                group.create_task(process(path, slots, results))
            for done in range(1, len(paths) + 1):
                _, counted = await results.get()
                total += counted
                if done % 50 == 0:
                    print(f"{done} files read")

    print(f"{total.total()} words, {len(total)} different ones")
    for word in sorted(total):
        print(f"  {word}: {total[word]}")


if __name__ == "__main__":
    asyncio.run(main())
