"""The pictures of the documentation, from the page as it is. `--write-pictures` puts them into docs/assets.

Without that switch they go to a temporary folder; what is checked is that each can be made and is small.
"""

import struct
from pathlib import Path

import pytest
from tests.browser.conftest import settle
from tests.browser.synthetic import make_trace

ASSETS = Path(__file__).resolve().parents[2] / "docs" / "assets"

# Readers load the pictures of a page at once.
LARGEST = 200_000


@pytest.fixture(scope="module")
def trace():
    return make_trace(20_000)


@pytest.fixture
def take(request, tmp_path):
    """Takes a picture of a page and checks it."""
    folder = ASSETS if request.config.getoption("--write-pictures") else tmp_path

    def take(page, name):
        settle(page)
        file = folder / f"{name}.png"
        page.screenshot(path=file)
        image = file.read_bytes()
        width, height = struct.unpack(">II", image[16:24])
        viewport = page.viewport_size
        assert width * viewport["height"] == height * viewport["width"]
        assert 10_000 < len(image) < LARGEST

    return take


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_picture_of_a_whole_trace(viewer, trace, take, scheme):
    page = viewer.open(trace, color_scheme=scheme)
    page.evaluate("ferrio.nextBlocked(1)")
    take(page, f"trace-{scheme}")


def test_picture_of_a_wake_up(viewer, trace, take):
    page = viewer.open(trace)
    page.evaluate(
        """() => { const { labels, wakes, stepAfter } = ferrio.trace;
           const wake = wakes.label.findIndex((label, at) => labels[label] === 'Lock.release' && at > 600);
           ferrio.choose({ slice: stepAfter[wake] });
           ferrio.camera.look(wakes.time[wake] - 1.0e6, wakes.time[wake] + 0.8e6); }"""
    )
    take(page, "trace-wakes")


def test_picture_of_a_phone(viewer, trace, take):
    size = {"width": 390, "height": 720}
    page = viewer.open(trace, viewport=size, has_touch=True, is_mobile=True, color_scheme="dark")
    page.locator("#tab-blocked").tap()
    page.locator("#view-blocked .link").first.tap()
    take(page, "trace-phone")
