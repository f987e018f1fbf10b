"""Two extension modules built with two PyO3s and two Rusts, in one process and on one loop, which await each other.

The second Rust is a nightly toolchain. On a machine without one only the PyO3s differ.
"""

import asyncio
import importlib
import tomllib

import pytest
from tests.rust_async.build import ROOT, too_new_for, toolchain


@pytest.fixture
def older():
    if reason := too_new_for("rust_older"):
        pytest.skip(reason)
    return importlib.import_module("rust_older")


def pyo3_of(directory):
    """The PyO3 that a crate is built with."""
    lock = tomllib.loads((ROOT / directory / "Cargo.lock").read_text())
    (version,) = (package["version"] for package in lock["package"] if package["name"] == "pyo3")
    return tuple(map(int, version.split(".")))


def test_versions_are_the_ends_of_what_the_crate_takes():
    manifest = tomllib.loads((ROOT / "crates/ferrio-async/Cargo.toml").read_text())
    oldest, limit = manifest["dependencies"]["pyo3"]["version"].split(", ")
    older, probe, ferrio = map(pyo3_of, ("tests/rust_async/older", "tests/rust_async/probe", "."))
    assert oldest == f">={older[0]}.{older[1]}"
    assert limit == f"<{probe[0]}.{probe[1] + 1}"
    assert ferrio[:2] == probe[:2] != older[:2]


def test_toolchain_is_another_if_there_is_one(older):
    assert older.toolchain == toolchain("rust_older")


def test_they_await_each_other(run, probe, older):
    async def main():
        assert await older.double(21) == 42
        for calling in probe.calling, probe.in_tokio.calling, probe.in_smol.calling:
            assert await calling(lambda: older.double(21)) == 42
            assert await older.calling(lambda: probe.in_tokio.sleeping(1, 5)) == 5

            def nested(depth, calling=calling):
                async def inner():
                    if depth == 6:
                        return await asyncio.gather(older.double(depth), probe.in_smol.sleeping(1, 7))
                    return await (older.calling if depth % 2 else calling)(nested(depth + 1))

                return inner

            assert await calling(nested(0)) == [12, 7]
        assert await asyncio.gather(*map(older.double, range(100))) == list(range(0, 200, 2))

    run(main())


def test_streams_pass_from_one_to_the_other(run, probe, older):
    async def main():
        assert await older.read(older.counting(50)) == list(range(50))
        for place in "task", "tokio", "smol":
            assert await probe.read(place, older.counting(50)) == list(range(50))
            assert await older.read(probe.counting(place, 50)) == list(range(50))

    run(main())


def test_cancellation_reaches_the_other(run, probe, older):
    async def main():
        for pending in probe.pending, probe.in_tokio.pending, probe.in_smol.pending:
            task = asyncio.create_task(older.calling(pending))
            for _ in range(5):
                await asyncio.sleep(0)
            assert not task.done()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            # The fixture sees that the probe's future is dropped.

    run(main())


def test_each_has_its_own_panic(run, probe, older, capfd):
    async def main():
        with pytest.raises(older.RustPanic, match="so it is"):
            await probe.calling(lambda: older.panicking("so it is"))
        with pytest.raises(probe.RustPanic, match="so it is"):
            await older.calling(lambda: probe.panicking("so it is"))

    run(main())
    assert older.RustPanic is not probe.RustPanic
    assert "so it is" in capfd.readouterr().err  # Rust's own report
