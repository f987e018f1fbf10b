"""`ferrio.sight.metrics`: each number against a program whose numbers are known."""

import ferrio
from ferrio import _ferrio


def test_turns_steps_and_callbacks():
    async def main():
        loop = ferrio.get_running_loop()
        _ferrio._meter(loop, True)
        await ferrio.sleep(0)
        before = _ferrio._metrics(loop)
        for _ in range(10):
            loop.call_soon(int)
        for _ in range(20):
            await ferrio.sleep(0)
        return before, _ferrio._metrics(loop)

    before, after = ferrio.run(main())
    assert after["turns"] - before["turns"] == 20
    assert after["steps"] - before["steps"] == 20
    assert after["callbacks"] - before["callbacks"] == 10
