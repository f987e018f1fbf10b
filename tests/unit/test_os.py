"""`ferrio.os` and `ferrio.os.path`: the functions of `os` that wait for a disk."""

import os
import socket

import pytest

import ferrio
import ferrio.os


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("content")
    return tmp_path


def test_queries(folder):
    async def main():
        assert await ferrio.os.stat("file") == os.stat("file")
        assert await ferrio.os.lstat("file") == os.lstat("file")
        assert (await ferrio.os.statvfs("file")).f_bsize == os.statvfs("file").f_bsize
        assert await ferrio.os.listdir() == ["file"]
        assert await ferrio.os.listdir(os.fsencode(folder)) == [b"file"]
        assert await ferrio.os.getcwd() == str(folder)
        assert await ferrio.os.access("file", os.R_OK)
        with await ferrio.os.scandir(folder) as entries:
            assert [entry.name for entry in entries] == ["file"]

    ferrio.run(main())


def test_changes(folder):
    async def main():
        await ferrio.os.rename("file", "renamed")
        await ferrio.os.replace("renamed", "replaced")
        await ferrio.os.link("replaced", "hard")
        await ferrio.os.symlink("replaced", "soft")
        assert await ferrio.os.readlink("soft") == "replaced"
        await ferrio.os.mkdir("folder", mode=0o700)
        await ferrio.os.makedirs("folder/a/b", exist_ok=True)
        await ferrio.os.renames("hard", "folder/a/b/hard")
        assert sorted(await ferrio.os.listdir()) == ["folder", "replaced", "soft"]
        await ferrio.os.truncate("replaced", 3)
        await ferrio.os.utime("replaced", (1, 2))
        assert ((await ferrio.os.stat("replaced")).st_size, os.path.getmtime("replaced")) == (3, 2)
        await ferrio.os.remove("folder/a/b/hard")
        await ferrio.os.rmdir("folder/a/b")
        await ferrio.os.removedirs("folder/a")
        await ferrio.os.unlink("soft")
        await ferrio.os.remove("replaced")
        assert await ferrio.os.listdir() == []

    ferrio.run(main())


def test_path(folder):
    async def main():
        path = ferrio.os.path
        assert [await path.exists(name) for name in ("file", "missing")] == [True, False]
        assert [await path.isfile("file"), await path.isdir("."), await path.islink("file")] == [True, True, False]
        assert await path.getsize("file") == 7
        assert await path.getmtime("file") == os.path.getmtime("file")
        assert await path.getatime("file") == os.path.getatime("file")
        assert await path.getctime("file") == os.path.getctime("file")
        assert await path.samefile("file", folder / "file")
        assert await path.abspath("file") == str(folder / "file")
        assert await path.realpath("file") == os.path.realpath("file")
        assert await path.ismount("/")
        with open("file") as one, open("file") as two:
            assert await path.sameopenfile(one.fileno(), two.fileno())

    ferrio.run(main())


@pytest.mark.parametrize("rights", [0o000, 0o444, 0o222, 0o755])
def test_access(folder, rights):
    os.chmod("file", rights)

    async def main():
        for asked in (os.F_OK, os.R_OK, os.W_OK, os.X_OK, os.R_OK | os.W_OK):
            assert await ferrio.os.access("file", asked) == os.access("file", asked)

    ferrio.run(main())


def test_links(folder):
    async def main():
        await ferrio.os.link("file", "hard")
        assert (await ferrio.os.stat("hard")).st_ino == (await ferrio.os.stat("file")).st_ino
        assert (await ferrio.os.stat("file")).st_nlink == 2
        await ferrio.os.unlink("hard")
        assert (await ferrio.os.stat("file")).st_nlink == 1
        await ferrio.os.symlink("file", "soft")
        assert (await ferrio.os.stat("soft")).st_ino == (await ferrio.os.stat("file")).st_ino
        assert (await ferrio.os.lstat("soft")).st_ino != (await ferrio.os.stat("file")).st_ino
        assert await ferrio.os.path.islink("soft")

    ferrio.run(main())


def test_folders(folder):
    def made(name, *entries):
        path = folder / name
        path.mkdir()
        for entry in entries:
            path.joinpath(entry).mkdir() if entry.endswith("/") else path.joinpath(entry).touch()
        return path

    async def main():
        for names in ((), ("file",), ("folder/",), ("one", "two"), ("file", "folder/")):
            path = made(f"with {len(os.listdir())}", *names)
            expected = {name.rstrip("/"): name.endswith("/") for name in names}
            assert sorted(await ferrio.os.listdir(path)) == sorted(expected)
            with await ferrio.os.scandir(path) as entries:
                assert {entry.name: entry.is_dir() for entry in entries} == expected

    ferrio.run(main())


def test_sendfile_to_a_file(folder):
    async def main():
        with open("file", "rb") as source, open("copy", "wb") as target:
            assert await ferrio.os.sendfile(target.fileno(), source.fileno(), 2, 100) == 5
        async with ferrio.open("copy") as file:
            assert await file.read() == "ntent"

    ferrio.run(main())


def test_sendfile(folder):
    async def main():
        ours, theirs = socket.socketpair()
        with ours, theirs, open("file") as file:
            assert await ferrio.os.sendfile(ours.fileno(), file.fileno(), 0, 7) == 7
            assert theirs.recv(100) == b"content"

    ferrio.run(main())


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("stat", ("missing",)),
        ("listdir", ("missing",)),
        ("scandir", ("missing",)),
        ("rename", ("missing", "other")),
        ("mkdir", ("file",)),
        ("listdir", ("file",)),
        ("stat", (1.5,)),
    ],
)
def test_errors_are_the_standard_librarys(folder, name, arguments):
    with pytest.raises((OSError, TypeError)) as expected:
        getattr(os, name)(*arguments)

    async def main():
        with pytest.raises(expected.type) as seen:
            await getattr(ferrio.os, name)(*arguments)
        assert str(seen.value) == str(expected.value)
        for attribute in ("errno", "filename", "filename2"):
            assert getattr(seen.value, attribute, None) == getattr(expected.value, attribute, None)

    ferrio.run(main())


def test_any_function_can_be_wrapped(folder):
    async def main():
        assert await ferrio.os.wrap(os.path.split)("a/b") == ("a", "b")

    ferrio.run(main())


def test_names_are_those_of_os():
    for name in ferrio.os.__all__:
        if name not in ("path", "wrap"):
            assert getattr(ferrio.os, name).__wrapped__ is getattr(os, name)
    for name in ferrio.os.path.__all__:
        assert getattr(ferrio.os.path, name).__wrapped__ is getattr(os.path, name)
