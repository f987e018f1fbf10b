"""Subclasses of futures: the methods that a program overrides are called. One body on asyncio and on ferrio."""

import pytest


def test_overridden_result_may_raise_at_the_await(run, loop, aio):
    class Checked(aio.Future):
        def result(self):
            value = super().result()
            if value < 0:
                raise ValueError(f"negative: {value}")
            return value

    async def main(value):
        future = Checked()
        loop.call_soon(future.set_result, value)
        return await future

    assert run(main(1)) == 1
    with pytest.raises(ValueError, match="negative: -1"):
        run(main(-1))
