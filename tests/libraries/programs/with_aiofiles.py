"""aiofiles: text and binary files, lines, seeking, temporary files and directories, the functions of `aiofiles.os`, 100
files at once, errors.
"""

import asyncio
import os
import tempfile

import aiofiles
import aiofiles.os
import aiofiles.tempfile
from common import report_loop


async def one_file(directory: str) -> None:
    path = os.path.join(directory, "lines.txt")
    async with aiofiles.open(path, "w", encoding="utf-8", newline="\n") as file:
        print(await file.write("first €\n"), await file.writelines([f"line {n}\n" for n in range(1000)]))
        await file.flush()
    async with aiofiles.open(path, encoding="utf-8") as file:
        print(repr(await file.readline()), len([line async for line in file]))
        print(await file.seek(0), await file.read(5), file.name == path, file.closed)
    print(file.closed)
    async with aiofiles.open(path, "r+b") as file:
        await file.seek(-7, os.SEEK_END)
        print(await file.tell(), await file.read(), await file.truncate(10), await file.seek(0), await file.read())
        buffer = bytearray(4)
        await file.seek(0)
        print(await file.readinto(buffer), bytes(buffer))
    async with aiofiles.open(os.path.join(directory, "big"), "w+b", buffering=0) as file:
        print(await file.write(bytes(range(256)) * 4096), await file.seek(0), len(await file.read()))
    try:
        async with aiofiles.open(os.path.join(directory, "none")):
            pass
    except FileNotFoundError as error:
        print(type(error).__name__, error.errno)


async def many_files(directory: str) -> None:
    async def copy(number: int) -> int:
        path = os.path.join(directory, f"{number}.bin")
        async with aiofiles.open(path, "wb") as file:
            await file.write(bytes(number) * 1000)
        async with aiofiles.open(path, "rb") as file:
            return len(await file.read())

    print(sum(await asyncio.gather(*(copy(number) for number in range(100)))))


async def system(directory: str) -> None:
    inner = os.path.join(directory, "a", "b")
    await aiofiles.os.makedirs(inner)
    async with aiofiles.tempfile.NamedTemporaryFile("wb", dir=inner, delete=False) as file:
        await file.write(b"123456")
        name = file.name
    print(
        (await aiofiles.os.stat(name)).st_size,
        await aiofiles.os.path.isfile(name),
        await aiofiles.os.listdir(inner) != [],
    )
    await aiofiles.os.rename(name, os.path.join(inner, "renamed"))
    print([entry.name for entry in await aiofiles.os.scandir(inner)])
    await aiofiles.os.remove(os.path.join(inner, "renamed"))
    await aiofiles.os.removedirs(inner)
    print(await aiofiles.os.path.exists(inner))
    async with aiofiles.tempfile.TemporaryDirectory() as temporary:
        print(await aiofiles.os.path.isdir(temporary))
    print(await aiofiles.os.path.isdir(temporary))
    async with aiofiles.tempfile.SpooledTemporaryFile(max_size=10) as file:
        await file.write(b"x" * 100)
        await file.seek(0)
        print(len(await file.read()))


async def cancelled(directory: str) -> None:
    """Gives up a read that waits for a writer; its thread ends once there is something to read."""
    path = os.path.join(directory, "pipe")
    os.mkfifo(path)
    writer = os.open(path, os.O_RDWR)
    async with aiofiles.open(path, "rb", buffering=0) as file:
        reading = asyncio.create_task(file.read(1))
        await asyncio.sleep(0)
        reading.cancel()
        print(type((await asyncio.gather(reading, return_exceptions=True))[0]).__name__)
        os.write(writer, b"12")
        print(await file.read(1) in (b"1", b"2"))
    os.close(writer)


async def main() -> None:
    report_loop()
    with tempfile.TemporaryDirectory() as directory:
        await one_file(directory)
        await many_files(directory)
        await system(directory)
        await cancelled(directory)


if __name__ == "__main__":
    asyncio.run(main())
