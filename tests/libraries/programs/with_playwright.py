"""playwright: a browser opens pages of an aiohttp server: scripts, console messages, intercepted requests, downloads,
a websocket, pages side by side, time-outs.

Needs: chromium.
The client speaks to its driver, a child process, through pipes.
"""

import asyncio
import os

from aiohttp import web
from common import report_loop
from playwright.async_api import TimeoutError as PlaywrightTimeout
from playwright.async_api import async_playwright

PAGE = """
<title>a page</title>
<button onclick="this.textContent = 'pressed'; console.log('hello from the page')">press</button>
<a href="/file" download="file.bin">download</a>
<script>
  const socket = new WebSocket(`ws://${location.host}/socket`);
  socket.onmessage = event => document.body.append(event.data);
  socket.onopen = () => socket.send("through a websocket");
</script>
"""


async def page(request: web.Request) -> web.Response:
    return web.Response(text=PAGE, content_type="text/html")


async def file(request: web.Request) -> web.Response:
    return web.Response(body=b"x" * 1_000_000)


async def data(request: web.Request) -> web.Response:
    return web.json_response({"number": int(request.query["number"])})


async def socket(request: web.Request) -> web.WebSocketResponse:
    answer = web.WebSocketResponse()
    await answer.prepare(request)
    async for message in answer:
        await answer.send_str(message.data.upper())
    return answer


async def browse(url: str, browser) -> None:
    context = await browser.new_context()
    tab = await context.new_page()
    messages = []
    tab.on("console", lambda message: messages.append(message.text))
    await tab.goto(url)
    print(await tab.title())
    await tab.click("button")
    print(await tab.text_content("button"), messages)
    await tab.wait_for_function("document.body.textContent.includes('THROUGH A WEBSOCKET')")
    async with tab.expect_download() as download:
        await tab.click("a")
    path = await (await download.value).path()
    print("downloaded:", os.path.getsize(path))
    print(await tab.evaluate("Promise.all([1, 2, 3].map(n => fetch(`/data?number=${n}`).then(r => r.json())))"))
    await tab.route("**/data*", lambda route: route.fulfill(json={"number": "intercepted"}))
    print(await tab.evaluate("fetch('/data?number=1').then(r => r.json())"))
    await tab.expose_function("inPython", lambda number: asyncio.sleep(0, number * 2))
    print(await tab.evaluate("inPython(21)"))
    try:
        await tab.click("#missing", timeout=100)
    except PlaywrightTimeout as error:
        print(str(error).splitlines()[0])
    tabs = await asyncio.gather(*(context.new_page() for _ in range(4)))
    await asyncio.gather(*(tab.goto(url) for tab in tabs))
    print([await tab.title() for tab in tabs])
    print("picture:", (await tab.screenshot())[1:4])
    await context.close()


async def main() -> None:
    report_loop()
    app = web.Application()
    app.add_routes([web.get("/", page), web.get("/file", file), web.get("/data", data), web.get("/socket", socket)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with async_playwright() as playwright:
        # Debian's browser, because playwright's own is another download.
        browser = await playwright.chromium.launch(executable_path=os.environ["CHROMIUM"], args=["--no-sandbox"])
        await browse(f"http://127.0.0.1:{runner.addresses[0][1]}/", browser)
        await browser.close()
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main())
