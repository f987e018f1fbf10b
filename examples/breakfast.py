"""Breakfast: coffee and eggs take two seconds each, and about two seconds together.

Shows `gather`: both jobs run at once, and their results come back in the order in which they were passed.
"""

import ferrio as asyncio


async def cook(dish, seconds):
    print(f"start {dish}")
    await asyncio.sleep(seconds)
    print(f"{dish} ready")
    return f"hot {dish}"


async def main():
    loop = asyncio.get_running_loop()
    began = loop.time()
    plates = await asyncio.gather(cook("coffee", 2), cook("eggs", 2))
    print(f"served {' and '.join(plates)} after {loop.time() - began:.1f} s")


if __name__ == "__main__":
    asyncio.run(main())
