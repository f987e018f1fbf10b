"""Words that arrive one by one while a clock ticks beside them.

Shows an async generator read with `async for`, and a background task that runs at the same time. It also shows how to
stop that task: `cancel()` raises `CancelledError` inside it, at the `await` where it waits.
"""

import ferrio as asyncio


async def stream_words(text):
    """Yield the words of `text`, one every 0.2 s."""
    for word in text.split():
        await asyncio.sleep(0.2)
        yield word


async def tick():
    count = 0
    try:
        await asyncio.sleep(0.1)  # half a word ahead, so ticks and words alternate
        while True:
            count += 1
            print(f"  tick {count}")
            await asyncio.sleep(0.2)
    except asyncio.CancelledError:
        print(f"  stopped after {count} ticks")
        raise


async def main():
    ticker = asyncio.create_task(tick(), name="ticker")
    async for word in stream_words("one loop runs them all"):
        print(word)
    ticker.cancel()
    try:
        await ticker
    except asyncio.CancelledError:
        print(f"cancelled: {ticker.cancelled()}")


if __name__ == "__main__":
    asyncio.run(main())
