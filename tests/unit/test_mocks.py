"""`unittest.mock` replaces ferrio's functions and objects with the same mocks as asyncio's."""

from unittest import mock

import pytest


def kind(mocked):
    return "awaited" if hasattr(mocked, "assert_awaited") else "called"


def test_patched_function_can_be_awaited(aio):
    async def main():
        with mock.patch.object(aio, "sleep") as sleep:
            await aio.sleep(3600)
        return sleep.await_count

    assert aio.run(main()) == 1


def test_function_is_patched_by_name(aio):
    with mock.patch(f"{aio.__name__}.tasks.sleep") as sleep, mock.patch(f"{aio.__name__}.gather") as gather:
        assert isinstance(sleep, mock.AsyncMock)
        assert not isinstance(gather, mock.AsyncMock)


def test_patched_methods_of_an_object(aio):
    async def main():
        loop = aio.get_running_loop()
        queue = aio.Queue()
        with mock.patch.object(queue, "get", return_value=7):
            assert await queue.get() == 7
        with mock.patch.object(loop, "sock_connect", return_value=None) as connect:
            await loop.sock_connect(None, ("host", 1))
        connect.assert_awaited_once_with(None, ("host", 1))
        with mock.patch.object(loop, "call_later") as call_later:
            loop.call_later(1, print)
        call_later.assert_called_once_with(1, print)

    aio.run(main())


def test_patched_methods_of_a_class(aio):
    async def main():
        with mock.patch.object(aio.Queue, "get", autospec=True) as get:
            get.return_value = "item"
            queue = aio.Queue()
            assert await queue.get() == "item"
            get.assert_awaited_once_with(queue)
            with pytest.raises(TypeError):
                await queue.get(1)
        queue.put_nowait("real")
        assert await queue.get() == "real"

    aio.run(main())


def test_autospec_of_a_class(aio):
    async def main():
        reader = mock.create_autospec(aio.StreamReader, instance=True)
        reader.readline.return_value = b"line\n"
        assert await reader.readline() == b"line\n"
        assert kind(reader.at_eof) == "called"
        with pytest.raises(TypeError):
            await reader.readexactly()
        with pytest.raises(TypeError):
            mock.create_autospec(aio.StreamWriter)(1)
        with pytest.raises(TypeError):
            mock.create_autospec(aio.Event)(1)

    aio.run(main())


def test_autospec_of_a_function(aio):
    async def main():
        sleep = mock.create_autospec(aio.sleep)
        await sleep(1, result=2)
        sleep.assert_awaited_once_with(1, result=2)
        with pytest.raises(TypeError):
            await sleep()
        wait_for = mock.create_autospec(aio.wait_for, return_value=3)
        return await wait_for(None, timeout=1)

    assert aio.run(main()) == 3


def test_autospec_of_a_loop(aio, loop):
    fake = mock.create_autospec(loop)
    for name in ("sock_recv", "create_connection", "getaddrinfo", "shutdown_default_executor"):
        assert kind(getattr(fake, name)) == "awaited", name
    for name in ("call_soon", "create_task", "run_in_executor", "is_closed"):
        assert kind(getattr(fake, name)) == "called", name
    with pytest.raises(TypeError):
        fake.call_soon()


@pytest.mark.parametrize("factory", [mock.Mock, mock.MagicMock, mock.AsyncMock])
def test_mock_with_a_specification(aio, factory):
    lock = factory(spec=aio.Lock)
    assert kind(lock.acquire) == "awaited"
    assert kind(lock.locked) == "called"
    assert isinstance(lock, aio.Lock)
    with pytest.raises(AttributeError):
        lock.spam  # noqa: B018


def test_sealed_and_wrapped(aio):
    async def main():
        queue = aio.Queue()
        spy = mock.Mock(wraps=queue)
        spy.put_nowait(1)
        assert queue.qsize() == 1
        with mock.patch.object(queue, "put", wraps=queue.put) as put:
            await queue.put(2)
        put.assert_awaited_once_with(2)
        return queue.get_nowait(), queue.get_nowait()

    assert aio.run(main()) == (1, 2)
