"""The loop's exception handler: which exception is being handled while it runs. One body on asyncio and on ferrio."""

import asyncio
import logging
import sys

import pytest


class Broken(asyncio.Protocol):
    """Fails when the first data arrives."""

    def data_received(self, data):
        raise LookupError("spam")


async def fail_in_a_callback(loop):
    def fail():
        raise LookupError("spam")

    loop.call_soon(fail)


async def fail_in_a_protocol(loop):
    transport, _protocol = await loop.create_connection(Broken, *await answering(loop))
    transport.write(b"ask")


async def answering(loop):
    """Yields the address of a server that sends one client's data back to it."""

    class Echo(asyncio.Protocol):
        def connection_made(self, transport):
            self.transport = transport
            server.close()

        def data_received(self, data):
            self.transport.write(data)
            self.transport.close()

    server = await loop.create_server(Echo, "127.0.0.1", 0)
    address = server.sockets[0].getsockname()
    return address


FAILING = pytest.mark.parametrize("fail", [fail_in_a_callback, fail_in_a_protocol], ids=["callback", "protocol"])


@FAILING
def test_handler_runs_as_inside_an_except_block(run, loop, settled, fail):
    told = loop.create_future()
    loop.set_exception_handler(lambda _loop, context: told.set_result((sys.exc_info()[1], context["exception"])))

    async def main():
        await fail(loop)
        return await told

    handled, reported = run(main())
    assert handled is reported
    assert str(handled) == "spam"
    assert sys.exc_info()[1] is None


@FAILING
def test_failing_handler_is_logged_with_what_it_was_called_for(run, loop, settled, fail, caplog):
    told = loop.create_future()

    def broken(_loop, _context):
        loop.call_soon(told.set_result, None)
        raise ValueError("eggs")

    async def main():
        await fail(loop)
        await told

    loop.set_exception_handler(broken)
    with caplog.at_level(logging.ERROR, "asyncio"):
        run(main())
    (record,) = caplog.records
    assert record.getMessage().startswith("Unhandled error in exception handler\n")
    failure = record.exc_info[1]
    assert repr(failure) == "ValueError('eggs')"
    assert repr(failure.__context__) == "LookupError('spam')"


def test_callers_handled_exception_stays_the_handled_one(run, loop):
    seen = []
    loop.set_exception_handler(lambda _loop, _context: seen.append(repr(sys.exc_info()[1])))

    async def main():
        await fail_in_a_callback(loop)
        try:
            raise KeyError("ham")
        except KeyError:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            seen.append(repr(sys.exc_info()[1]))
        seen.append(repr(sys.exc_info()[1]))

    try:
        raise OSError("around")
    except OSError:
        run(main())
        seen.append(repr(sys.exc_info()[1]))
    around = "OSError('around')"
    assert seen == ["LookupError('spam')", "KeyError('ham')", around, around]
