"""A crawl of a small site with slow pages, at most three at a time.

Shows a `Semaphore` as a limit and a `TaskGroup` that grows while it runs: each page starts the pages that it links to.
Results appear in the order in which they arrive. The site is a table, so the example needs no network.
"""

import ferrio as asyncio

# page: (seconds it takes, pages it links to)
SITE = {
    "/": (0.11, ["/docs", "/blog", "/team", "/shop"]),
    "/docs": (0.32, ["/docs/install", "/docs/api", "/"]),
    "/blog": (0.23, ["/blog/first", "/docs"]),
    "/team": (0.47, ["/"]),
    "/shop": (0.18, []),
    "/docs/install": (0.29, ["/docs"]),
    "/docs/api": (0.35, []),
    "/blog/first": (0.41, ["/team"]),
}


class Crawler:
    """Visits every page once; never more than `limit` at the same time."""

    def __init__(self, limit):
        self.slots = asyncio.Semaphore(limit)
        self.seen = set()
        self.busy = 0
        self.busiest = 0

    async def crawl(self, start):
        async with asyncio.TaskGroup() as self.group:
            self.visit_once(start)

    def visit_once(self, page):
        if page not in self.seen:
            self.seen.add(page)
            self.group.create_task(self.visit(page), name=page)

    async def visit(self, page):
        async with self.slots:
            self.busy += 1
            self.busiest = max(self.busiest, self.busy)
            links = await fetch(page)
            self.busy -= 1
        print(f"{page} ({len(links)} links)")
        for link in links:
            self.visit_once(link)


async def fetch(page):
    seconds, links = SITE[page]
    await asyncio.sleep(seconds)
    return links


async def main():
    crawler = Crawler(limit=3)
    await crawler.crawl("/")
    print(f"{len(crawler.seen)} pages, at most {crawler.busiest} at once")


if __name__ == "__main__":
    asyncio.run(main())
