"""`Barrier`: the same bodies on asyncio and on ferrio."""

import weakref

import pytest

import ferrio


def test_all_parties_go_on_together_each_with_a_number(aio):
    async def main():
        barrier, passed = aio.Barrier(3), []

        async def party():
            number = await barrier.wait()
            passed.append(number)

        tasks = [aio.create_task(party()) for _ in range(2)]
        await aio.sleep(0)
        assert barrier.n_waiting == 2
        assert passed == []
        assert await barrier.wait() == 2
        await aio.gather(*tasks)
        assert barrier.n_waiting == 0
        return sorted(passed)

    assert aio.run(main()) == [0, 1]


def test_barrier_can_be_reused(aio):
    async def main():
        barrier, rounds = aio.Barrier(3), []

        async def party(name):
            for number in range(5):
                async with barrier as position:
                    rounds.append((number, name))
                    assert 0 <= position < 3

        await aio.gather(*[party(name) for name in "abc"])
        return rounds

    rounds = aio.run(main())
    assert [number for number, _ in rounds] == [number for number in range(5) for _ in range(3)]


def test_more_tasks_than_parties(aio):
    async def main():
        barrier, passed = aio.Barrier(2), 0

        async def party():
            nonlocal passed
            await barrier.wait()
            passed += 1

        tasks = [aio.create_task(party()) for _ in range(7)]
        for _ in range(20):
            await aio.sleep(0)
        assert passed == 6
        assert barrier.n_waiting == 1
        await barrier.wait()
        await aio.gather(*tasks)

    aio.run(main())


def test_single_party_never_waits(aio):
    async def main():
        barrier = aio.Barrier(1)
        other = aio.create_task(aio.sleep(0))
        assert [await barrier.wait() for _ in range(3)] == [0, 0, 0]
        assert not other.done()
        await other

    aio.run(main())


def test_reset_breaks_only_the_waiters(aio):
    async def main():
        barrier = aio.Barrier(3)
        waiting = [aio.create_task(barrier.wait()) for _ in range(2)]
        await aio.sleep(0)
        await barrier.reset()
        results = await aio.gather(*waiting, return_exceptions=True)
        assert [str(error) for error in results] == ["Abort or reset of barrier"] * 2
        assert all(type(error) is aio.BrokenBarrierError for error in results)
        assert not barrier.broken
        assert sorted(await aio.gather(*[barrier.wait() for _ in range(3)])) == [0, 1, 2]

    aio.run(main())


def test_abort_breaks_the_barrier_until_a_reset(aio):
    async def main():
        barrier = aio.Barrier(2)
        waiting = aio.create_task(barrier.wait())
        await aio.sleep(0)
        await barrier.abort()
        assert barrier.broken
        assert repr(barrier).endswith(" [broken]>")
        with pytest.raises(aio.BrokenBarrierError, match=r"^Abort or reset of barrier$"):
            await waiting
        with pytest.raises(aio.BrokenBarrierError, match=r"^Barrier aborted$"):
            await barrier.wait()
        await barrier.reset()
        assert not barrier.broken
        assert sorted(await aio.gather(barrier.wait(), barrier.wait())) == [0, 1]

    aio.run(main())


def test_cancelled_party_leaves(aio):
    async def main():
        barrier = aio.Barrier(2)
        waiting = aio.create_task(barrier.wait())
        await aio.sleep(0)
        waiting.cancel()
        await aio.wait([waiting])
        assert waiting.cancelled()
        assert barrier.n_waiting == 0
        assert not barrier.broken
        assert sorted(await aio.gather(barrier.wait(), barrier.wait())) == [0, 1]

    aio.run(main())


def test_number_of_parties_is_checked(aio):
    with pytest.raises(ValueError, match=r"^parties must be "):
        aio.Barrier(0)
    with pytest.raises(TypeError):
        aio.Barrier()
    with pytest.raises(TypeError):
        aio.Barrier("three")
    assert aio.Barrier(parties=4).parties == 4
    assert aio.Barrier(2.0).parties == 2


def test_repr(aio):
    async def main():
        barrier = aio.Barrier(2)
        assert repr(barrier).endswith(" [filling, waiters:0/2]>")
        waiting = aio.create_task(barrier.wait())
        await aio.sleep(0)
        assert repr(barrier).endswith(" [filling, waiters:1/2]>")
        await barrier.wait()
        assert repr(barrier).endswith(" [draining, waiters:0/2]>")
        await waiting
        assert repr(barrier).endswith(" [filling, waiters:0/2]>")

    aio.run(main())


def test_async_with_calls_a_subclasss_wait(aio):
    class Announced(aio.Barrier):
        async def wait(self):
            return "at ", await super().wait()

    async def main():
        async with Announced(1) as position:
            return position

    assert aio.run(main()) == ("at ", 0)


def test_barrier_in_a_cycle_is_collected(collected):
    barrier = ferrio.Barrier(2)
    barrier.myself = barrier
    gone = weakref.ref(barrier)
    del barrier
    collected()
    assert gone() is None
