"""`ferrio.open()`: the methods in every mode; opening and closing. Sequences: tests/properties/test_files.py."""

import asyncio
import gc
import io
import os
import pathlib
import sys
import warnings

import pytest

import ferrio

READING = ["r", "rb", "r+", "rb+"]
WRITING = ["w", "wb", "w+", "wb+"]
APPENDING = ["a", "ab", "a+", "ab+"]
BUFFERING = [-1, 0, 1, 16]


@pytest.fixture
def path(tmp_path):
    """A file of three lines."""
    path = tmp_path / "three lines"
    path.write_bytes(b"one\ntwo\nthree\n")
    return path


@pytest.fixture(params=[ferrio, asyncio], ids=["ferrio", "asyncio"])
def run(request):
    """Runs a coroutine; files also work on the standard library's loop."""
    return request.param.run


def of_mode(mode, data):
    """Returns `data` as a file of this mode returns and accepts it."""
    return data if "b" in mode else data.decode()


def ways(modes):
    """Returns modes, each with every buffering that it allows."""
    allowed = [(mode, size) for mode in modes for size in BUFFERING if "b" in mode or size != 0]
    # Line buffering a binary file gives a warning.
    allowed = [(mode, size) for mode, size in allowed if not ("b" in mode and size == 1)]
    return pytest.mark.parametrize(("mode", "buffering"), allowed)


@ways(READING)
def test_iterates_by_line(run, path, mode, buffering):
    async def main():
        async with ferrio.open(path, mode, buffering) as file:
            return [line async for line in file]

    assert run(main()) == [of_mode(mode, line) for line in (b"one\n", b"two\n", b"three\n")]


@ways(READING)
def test_readlines_and_readline(run, path, mode, buffering):
    async def main():
        async with ferrio.open(path, mode, buffering) as file:
            first = await file.readline()
            return first, await file.readlines(), await file.readline()

    first, rest, end = run(main())
    assert first == of_mode(mode, b"one\n")
    assert rest == [of_mode(mode, b"two\n"), of_mode(mode, b"three\n")]
    assert end == of_mode(mode, b"")


@ways(READING)
def test_read_all_in_parts_and_at_the_end(run, path, mode, buffering):
    async def main():
        async with ferrio.open(path, mode, buffering) as file:
            whole = await file.read()
            nothing = await file.read()
            await file.seek(0)
            return whole, nothing, await file.read(4), await file.tell(), await file.read(-1)

    whole, nothing, part, position, rest = run(main())
    assert whole == of_mode(mode, path.read_bytes())
    assert (nothing, part, position) == (of_mode(mode, b""), of_mode(mode, b"one\n"), 4)
    assert rest == whole[4:]


@pytest.mark.parametrize("buffering", [-1, 0, 16])
@pytest.mark.parametrize("mode", ["rb", "rb+"])
def test_readinto(run, path, mode, buffering):
    async def main():
        async with ferrio.open(path, mode, buffering) as file:
            memory = bytearray(6)
            count = await file.readinto(memory)
            return count, memory

    assert run(main()) == (6, b"one\ntw")


@pytest.mark.parametrize("mode", ["rb", "rb+"])
def test_peek_and_read1(run, path, mode):
    async def main():
        async with ferrio.open(path, mode) as file:
            peeked = await file.peek(1)
            return peeked, await file.read1(), await file.read1(5)

    assert run(main()) == (b"one\ntwo\nthree\n", b"one\ntwo\nthree\n", b"")


def test_only_unbuffered_files_have_readall(run, path):
    async def main():
        async with ferrio.open(path, "rb", buffering=0) as file:
            assert await file.readall() == path.read_bytes()
        async with ferrio.open(path, "rb") as file:
            with pytest.raises(AttributeError):
                await file.readall()

    run(main())


@ways(WRITING)
def test_write_replaces(run, path, mode, buffering):
    async def main():
        async with ferrio.open(path, mode, buffering) as file:
            written = await file.write(of_mode(mode, b"first\n"))
            await file.writelines([of_mode(mode, b"second\n"), of_mode(mode, b"third\n")])
            return written, await file.tell()

    assert run(main()) == (6, 19)
    assert path.read_bytes() == b"first\nsecond\nthird\n"


@ways(APPENDING)
def test_append(run, path, mode, buffering):
    async def main():
        async with ferrio.open(path, mode, buffering) as file:
            assert await file.tell() == 14
            await file.write(of_mode(mode, b"four\n"))

    run(main())
    assert path.read_bytes() == b"one\ntwo\nthree\nfour\n"


@ways([mode for mode in READING + WRITING if "+" in mode])
def test_read_and_write_one_file(run, path, mode, buffering):
    async def main():
        async with ferrio.open(path, mode, buffering) as file:
            await file.seek(0)
            await file.write(of_mode(mode, b"ONE"))
            await file.seek(0)
            start = await file.read(3)
            await file.truncate(2)
            await file.seek(0)
            return start, await file.read()

    assert run(main()) == (of_mode(mode, b"ONE"), of_mode(mode, b"ON"))


@pytest.mark.parametrize("mode", ["w", "wb", "wb+", "a"])
def test_flush_makes_it_visible(run, path, mode):
    async def main():
        async with ferrio.open(path, mode) as file:
            before = path.read_bytes()
            await file.write(of_mode(mode, b"new"))
            assert path.read_bytes() == before
            await file.flush()
            assert path.read_bytes() == before + b"new"

    run(main())


@pytest.mark.parametrize("size", [10, 5_000, 100_000, 3_000_000])
@pytest.mark.parametrize("mode", ["w", "wb"])
def test_writes_of_any_size(run, path, mode, size):
    data = b"0123456789" * (size // 10)

    async def main():
        async with ferrio.open(path, mode) as file:
            for _ in range(3):
                assert await file.write(of_mode(mode, data)) == size

    run(main())
    assert path.read_bytes() == data * 3


@pytest.mark.parametrize("size", [0, 1, 8_191, 8_192, 262_143, 262_144, 262_145, 5_000_000])
@pytest.mark.parametrize("mode", ["r", "rb"])
def test_reads_of_any_size(run, path, mode, size):
    data = os.urandom(size // 2 + 1).hex().encode()[:size]
    path.write_bytes(data)

    async def main():
        async with ferrio.open(path, mode) as file:
            assert await file.read() == of_mode(mode, data)
        pieces = []
        async with ferrio.open(path, mode) as file:
            while piece := await file.read(1 << 20):
                pieces.append(piece)
            assert await file.tell() == size
        assert of_mode(mode, b"").join(pieces) == of_mode(mode, data)

    run(main())


def test_growing_file_is_read_to_its_new_end(run, path):
    async def main():
        async with ferrio.open(path, "rb") as file:
            with open(path, "ab") as other:
                other.write(b"more" * 100_000)
            assert await file.read() == path.read_bytes()
            with open(path, "ab") as other:
                other.write(b"last")
            assert await file.read() == b"last"

    run(main())


def test_names_and_modes(run, path):
    async def main():
        async with ferrio.open(str(path), encoding="utf-8", newline="\r\n") as file:
            assert (file.name, file.mode, file.encoding, file.errors) == (str(path), "r", "utf-8", "strict")
            assert (file.newlines, file.line_buffering, file.closed) == (None, False, False)
            assert isinstance(file.buffer, io.BufferedReader)
        async with ferrio.open(path, "rb") as file:
            assert (file.name, file.mode, file.closed) == (str(path), "rb", False)
            assert isinstance(file.raw, io.FileIO)
            assert not hasattr(file, "encoding")
            assert str(path) in repr(file)
        assert file.closed
        assert "closed" in repr(file)
        assert file.name == str(path)

    run(main())


@pytest.mark.parametrize(("mode", "expected"), [("r", (True, False)), ("wb", (False, True)), ("rb+", (True, True))])
def test_readable_writable_and_seekable(run, path, mode, expected):
    async def main():
        async with ferrio.open(path, mode) as file:
            assert (await file.readable(), await file.writable()) == expected
            assert await file.seekable()
            assert not await file.isatty()
            assert os.fstat(file.fileno()).st_ino == path.stat().st_ino

    run(main())


@pytest.mark.parametrize("mode", READING)
def test_detach(run, path, mode):
    async def main():
        file = await ferrio.open(path, mode)
        below = file.detach()
        with pytest.raises(ValueError):
            await file.read()
        data = below.read()
        below.close()
        return data

    assert run(main()) == b"one\ntwo\nthree\n"


@pytest.mark.parametrize("mode", [*READING, "w", "ab"])
def test_closed_file_raises_as_the_built_in_does(run, path, mode):
    with open(path, mode) as other:
        pass
    with pytest.raises(ValueError) as expected:
        other.readline()

    async def main():
        file = await ferrio.open(path, mode)
        await file.close()
        assert file.closed
        await file.close()
        with pytest.raises(ValueError) as seen:
            await file.readline()
        assert str(seen.value) == str(expected.value)
        with pytest.raises(ValueError):
            async with file:
                pass

    run(main())


def test_open_file_is_a_context_manager_itself(run, path):
    async def main():
        file = await ferrio.open(path)
        async with file as same:
            assert same is file
            assert await same.readline() == "one\n"
        assert file.closed

    run(main())


def test_context_manager_closes_after_an_exception(run, path):
    async def main():
        with pytest.raises(ZeroDivisionError):
            async with ferrio.open(path, "w") as file:
                await file.write("half")
                raise ZeroDivisionError
        assert file.closed

    run(main())
    assert path.read_text() == "half"


@pytest.mark.parametrize(
    "arguments",
    [
        ("missing",),
        ("",),
        ("nul\0",),
        (".",),
        (".", "w"),
        ("missing/file", "w"),
        ("file", "rw"),
        ("file", "q"),
        ("file", ""),
        ("file", "rb", -1, "utf-8"),
        ("file", "rb", -1, None, "strict"),
        ("file", "rb", -1, None, None, "\n"),
        ("file", "r", 0),
        ("file", "r", -1, "no such encoding"),
        ("file", "r", -1, "utf-8", None, "x"),
        ("file", "x"),
        (12.5,),
        (10**6,),
        (-1,),
        (None,),
        ("file", None),
        ("file", "r", "1"),
        ("file", "r", -1, 5),
        ("file", "r", -1, None, None, None, False),
    ],
    ids=repr,
)
def test_bad_arguments_are_refused_as_by_the_built_in(run, tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("content")
    with pytest.raises(Exception) as expected:
        open(*arguments)  # noqa: SIM115  (it fails)

    async def main():
        with pytest.raises(expected.type) as seen:
            await ferrio.open(*arguments)
        assert str(seen.value) == str(expected.value)
        for attribute in ("errno", "filename", "filename2", "strerror"):
            assert getattr(seen.value, attribute, None) == getattr(expected.value, attribute, None)

    run(main())


def test_path_may_be_anything_that_names_a_file(run, path):
    async def main():
        for name in (path, str(path), os.fsencode(path), pathlib.PurePath(path)):
            async with ferrio.open(name, "rb") as file:
                assert file.name == os.fspath(name)
                assert len(await file.read()) == 14

    run(main())


def test_descriptor(run, path):
    async def main():
        fd = os.open(path, os.O_RDWR)
        async with ferrio.open(fd, closefd=False) as file:
            assert file.name == fd
            assert await file.readline() == "one\n"
        os.lseek(fd, 0, os.SEEK_END)
        async with ferrio.open(fd, "ab") as file:
            await file.write(b"four\n")
        with pytest.raises(OSError):
            os.fstat(fd)

    run(main())
    assert path.read_bytes().endswith(b"three\nfour\n")


def test_opener(run, path):
    seen = []

    def opener(name, flags):
        seen.append((name, flags & os.O_ACCMODE))
        return os.open(path, flags)

    async def main():
        async with ferrio.open("anything", "rb", opener=opener) as file:
            assert await file.read() == path.read_bytes()

    run(main())
    assert seen == [("anything", os.O_RDONLY)]


@pytest.mark.parametrize("mode", ["rb", "wb", "r+b"])
def test_pipes(run, mode):
    async def main():
        reading, writing = os.pipe()
        if mode == "wb":
            async with ferrio.open(writing, "wb") as file:
                await file.write(b"through")
            assert os.read(reading, 100) == b"through"
            os.close(reading)
        elif mode == "rb":
            async with ferrio.open(reading, "rb") as file:
                task = ferrio.ensure_future(file.read()) if run is ferrio.run else asyncio.ensure_future(file.read())
                os.write(writing, b"through")
                os.close(writing)
                assert await task == b"through"
        else:
            with pytest.raises(io.UnsupportedOperation):
                await ferrio.open(reading, mode, closefd=False)
            os.close(reading)
            os.close(writing)

    run(main())


def test_write_to_a_full_device_raises(run):
    async def main():
        file = await ferrio.open("/dev/full", "w")
        await file.write("lost")
        with pytest.raises(OSError, match="No space left"):
            await file.flush()
        with pytest.raises(OSError, match="No space left"):
            await file.close()
        assert file.closed

    run(main())


def test_write_beyond_the_limit_of_file_size_raises_and_keeps_the_rest(run, path):
    import resource
    import signal

    # The signal that comes with the error would end the process.
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    async def main():
        # Smaller than what is written; from Python 3.14 on the default is not.
        file = await ferrio.open(path, "wb", 8192)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
        try:
            with pytest.raises(OSError, match="File too large"):
                await file.write(b"x" * 100_000)
            assert path.stat().st_size == 50_000
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        await file.close()
        assert path.stat().st_size == 100_000

    try:
        run(main())
    finally:
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("mode", ["r", "rb", "w", "wb+"])
def test_unclosed_file_warns(run, path, mode):
    async def main():
        file = await ferrio.open(path, mode)
        fd = file.fileno()
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            del file
            gc.collect()
        assert [warning.category for warning in seen] == [ResourceWarning]
        assert "unclosed file" in str(seen[0].message)
        assert path.name in str(seen[0].message)
        with pytest.raises(OSError):
            os.fstat(fd)

    run(main())


def test_open_is_awaited_once(run, path):
    async def main():
        opening = ferrio.open(path)
        file = await opening
        await file.close()
        with pytest.raises(RuntimeError, match="already awaited"):
            await opening

    run(main())


def test_annotations_name_the_type_that_is_read():
    assert ferrio.File[str].__args__ == (str,)
    assert ferrio.files.Opening[bytes].__args__ == (bytes,)


def test_unknown_attribute(run, path):
    async def main():
        async with ferrio.open(path) as file:
            with pytest.raises(AttributeError, match="nonsense"):
                file.nonsense  # noqa: B018
            with pytest.raises(AttributeError, match="readinto"):
                await file.readinto(bytearray(1))

    run(main())


def test_audit_event_of_open(run, path):
    seen = []
    active = True

    def hook(event, arguments):
        if active and event == "open":
            seen.append(arguments[:2])

    sys.addaudithook(hook)

    async def main():
        async with ferrio.open(str(path), "rb") as file:
            await file.read()

    run(main())
    active = False
    assert (str(path), "rb") in seen
