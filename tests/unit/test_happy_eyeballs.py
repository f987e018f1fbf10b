"""Connection attempts to several addresses that overtake each other (RFC 8305), and the order in which they start."""

import asyncio

import pytest
from tests.unit.connections import Noting, deaf, infos_of, listening, open_sockets, refusing_address
from tests.unit.implementations import since

pytestmark = pytest.mark.usefixtures("settled")


def test_next_address_starts_after_the_delay(loop, run):
    async def main():
        before = open_sockets()
        with deaf() as dead, listening() as listener:
            loop.getaddrinfo = infos_of(dead, listener.getsockname())
            transport, _ = await loop.create_connection(Noting, "name", 1, happy_eyeballs_delay=0.001)
            assert transport.get_extra_info("peername") == listener.getsockname()
            transport.abort()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert open_sockets() <= before

    run(main())


def test_next_address_starts_when_the_previous_one_fails(loop, run):
    async def main():
        with listening() as listener:
            loop.getaddrinfo = infos_of(refusing_address(), listener.getsockname())
            transport, _ = await loop.create_connection(Noting, "name", 1, happy_eyeballs_delay=3600)
            assert transport.get_extra_info("peername") == listener.getsockname()
            transport.abort()

    run(main())


def test_all_fail(loop, run):
    async def main():
        before = open_sockets()
        loop.getaddrinfo = infos_of(refusing_address(), refusing_address())
        with pytest.raises(OSError, match="Multiple exceptions"):
            await loop.create_connection(Noting, "name", 1, happy_eyeballs_delay=0.25)
        assert open_sockets() <= before

    run(main())


def test_cancelled(loop, run):
    async def main():
        before = open_sockets()
        with deaf() as dead:
            loop.getaddrinfo = infos_of(dead, dead, dead)
            among = open_sockets()
            connecting = loop.create_connection(Noting, "name", 1, happy_eyeballs_delay=0.001)
            task = loop.create_task(connecting)
            while len(open_sockets() - among) < 2:
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert open_sockets() <= before

    run(main())


@since(3, 12)
@pytest.mark.parametrize(
    ("keywords", "order"),
    [
        ({}, "aabbb"),
        ({"interleave": 1}, "ababb"),
        ({"interleave": 2}, "aabbb"),
        ({"interleave": 3}, "aabbb"),
        ({"happy_eyeballs_delay": 3600}, "ababb"),
        ({"happy_eyeballs_delay": 3600, "interleave": 2}, "aabbb"),
        ({"interleave": 0}, "aabbb"),
    ],
)
def test_order_of_families(loop, run, keywords, order):
    async def main():
        addresses = [refusing_address() for _ in range(2)]
        addresses += [refusing_address("::1") for _ in range(3)]
        loop.getaddrinfo = infos_of(*addresses)
        with pytest.raises(ExceptionGroup) as caught:
            await loop.create_connection(Noting, "name", 1, all_errors=True, **keywords)
        failures = caught.value.exceptions
        tried = ["b" if "::1" in str(failure) else "a" for failure in failures]
        assert "".join(tried) == order
        # Addresses of one family keep the resolver's order.
        for family, chosen in (("a", addresses[:2]), ("b", addresses[2:])):
            seen = [str(failure) for failure, of in zip(failures, tried, strict=True) if of == family]
            assert [str(address) in text for address, text in zip(chosen, seen, strict=True)] == [True] * len(chosen)

    run(main())
