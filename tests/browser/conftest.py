"""A real browser without a window, and pages in it. Not a test may reach for the network or write to the console.

The browser is the system's chromium, or the program that FERRIO_BROWSER names. Without one, everything here is skipped.
"""

import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright
from tests.browser.launch import ARGUMENTS, program
from tests.browser.synthetic import make_trace

from ferrio.sight import page as trace_page

ASSETS = Path(__file__).resolve().parents[2] / "docs" / "assets"

# Readers load the pictures of a page at once.
LARGEST = 200_000

# A page's state once it has read its data, or failed to.
SETTLED = "body[data-state=ready], body[data-state=failed]"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-pictures", action="store_true", help="make the pictures of docs/assets anew")


@pytest.fixture(autouse=True)
def no_running_loop_is_left_behind() -> None:
    """Replaces the check of all other tests: Playwright's own loop runs in this thread as long as the browser does."""


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if program() is None:
        pytest.skip("there is no browser; install Debian's package chromium, or set FERRIO_BROWSER")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program(), args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def small_trace() -> dict[str, Any]:
    return make_trace(6000)


class Viewer:
    """Opens traces as a reader does: from a file, without a server."""

    def __init__(self, browser: Browser, folder: Path) -> None:
        self.browser = browser
        self.folder = folder
        self.wrong: list[str] = []
        self.contexts: list[Any] = []

    def open(self, trace: dict[str, Any], *, before: str | None = None, **settings: Any) -> Page:
        """Returns the page of a trace. Nothing in it moves smoothly, so that it needs no waiting."""
        return self.open_text(trace_page.render(trace), before=before, **settings)

    def open_text(self, text: str, *, before: str | None = None, **settings: Any) -> Page:
        file = self.folder / f"trace-{len(self.contexts)}.html"
        file.write_text(text, encoding="ascii")
        settings.setdefault("viewport", {"width": 1280, "height": 720})
        context = self.browser.new_context(reduced_motion="reduce", **settings)
        self.contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: self.wrong.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.wrong.append(f"an error: {error}"))
        page.on("dialog", lambda dialog: self.wrong.append(f"a dialog: {dialog.message}"))
        page.on("request", lambda request: self.requested(request.url, file))
        if before is not None:
            page.add_init_script(before)
        page.goto(file.as_uri())
        page.wait_for_selector(SETTLED, state="attached")
        settle(page)
        return page

    def requested(self, url: str, file: Path) -> None:
        if url.partition("#")[0] != file.as_uri() and not url.startswith("data:"):
            self.wrong.append(f"a request: {url}")


def settle(page: Page) -> None:
    """Returns when what was asked for is drawn."""
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def until(page: Page, condition: str) -> None:
    """Returns when a JavaScript expression holds. Playwright's own way needs `eval`, which the page forbids."""
    page.evaluate(
        f"""async () => {{ const end = performance.now() + 10000;
            while (!({condition})) {{
                if (performance.now() > end) throw new Error('not within ten seconds');
                await new Promise(done => setTimeout(done, 10));
            }} }}"""
    )


@pytest.fixture
def viewer(browser: Browser, tmp_path: Path) -> Iterator[Viewer]:
    viewer = Viewer(browser, tmp_path)
    yield viewer
    for context in viewer.contexts:
        context.close()
    assert viewer.wrong == []


@pytest.fixture
def page(viewer: Viewer, small_trace: dict[str, Any]) -> Page:
    return viewer.open(small_trace)


@pytest.fixture
def take(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Page, str], None]:
    """Takes a picture of a page for the documentation, and checks it.

    With `--write-pictures` it goes to docs/assets, otherwise to a temporary folder.
    """
    folder = ASSETS if request.config.getoption("--write-pictures") else tmp_path

    def take(page: Page, name: str) -> None:
        settle(page)
        file = folder / f"{name}.png"
        page.screenshot(path=file)
        image = file.read_bytes()
        width, height = struct.unpack(">II", image[16:24])
        viewport = page.viewport_size
        assert width * viewport["height"] == height * viewport["width"]
        assert 10_000 < len(image) < LARGEST

    return take
