"""`ferrio.tempfile`: files that are deleted when they are closed, and a folder that lasts for a block."""

import os
import sys
import tempfile

import pytest

import ferrio
import ferrio.tempfile


def test_file_without_a_name():
    async def main():
        async with ferrio.tempfile.TemporaryFile("w+") as file:
            await file.write("line 1\nline 2\n")
            await file.seek(0)
            assert [line async for line in file] == ["line 1\n", "line 2\n"]
        assert file.closed

    ferrio.run(main())


@pytest.mark.parametrize("mode", ["wb+", "w+"])
def test_named_file_is_deleted_when_it_is_closed(tmp_path, mode):
    async def main():
        async with ferrio.tempfile.NamedTemporaryFile(mode, dir=tmp_path, suffix=".end") as file:
            assert file.name.endswith(".end")
            await file.write(b"content" if "b" in mode else "content")
            await file.flush()
            assert os.path.getsize(file.name) == 7
        assert os.listdir(tmp_path) == []
        kept = await ferrio.tempfile.NamedTemporaryFile(dir=tmp_path, delete=False)
        await kept.close()
        assert len(os.listdir(tmp_path)) == 1

    ferrio.run(main())


@pytest.mark.skipif(sys.version_info < (3, 12), reason="tempfile has `delete_on_close` from 3.12 on")
@pytest.mark.parametrize("mode", ["wb+", "w+"])
def test_named_file_may_outlive_its_closing(tmp_path, mode):
    async def main():
        async with ferrio.tempfile.NamedTemporaryFile(mode, dir=tmp_path, delete_on_close=False) as file:
            await file.write(b"content" if "b" in mode else "content")
            await file.close()
            async with ferrio.open(file.name) as again:
                assert await again.read() == "content"
        assert os.listdir(tmp_path) == []

    ferrio.run(main())


@pytest.mark.parametrize("newline", [None, "", "\n", "\r\n"])
def test_newlines_of_a_file_in_memory(newline):
    text = "one\ntwo\r\nthree"

    async def main():
        with tempfile.SpooledTemporaryFile(10, "w+", newline=newline) as expected:
            expected.write(text)
            expected.seek(0)
            async with ferrio.tempfile.SpooledTemporaryFile(10, "w+", newline=newline) as file:
                assert await file.write(text) == len(text)
                await file.seek(0)
                assert await file.read() == expected.read()

    ferrio.run(main())


def test_file_in_memory():
    async def main():
        async with ferrio.tempfile.SpooledTemporaryFile(max_size=100) as file:
            for _ in range(30):
                await file.write(b"0123456789")
            await file.seek(0)
            assert await file.read() == b"0123456789" * 30

    ferrio.run(main())


def test_folder(tmp_path):
    async def main():
        async with ferrio.tempfile.TemporaryDirectory("end", "begin", tmp_path) as name:
            assert os.path.basename(name).startswith("begin") and name.endswith("end")
            assert os.listdir(tmp_path) == [os.path.basename(name)]
            async with ferrio.open(os.path.join(name, "file"), "w") as file:
                await file.write("content")
        assert os.listdir(tmp_path) == []

    ferrio.run(main())


def test_errors_are_the_standard_librarys():
    async def main():
        with pytest.raises(FileNotFoundError):
            await ferrio.tempfile.TemporaryFile(dir="/nowhere/at/all")

    ferrio.run(main())
