"""Futures of subclasses: the methods that a program overrides are called. One body on asyncio and on ferrio."""

import pytest


def test_result_of_a_subclass_may_raise_where_it_is_awaited(run, loop, aio):
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
