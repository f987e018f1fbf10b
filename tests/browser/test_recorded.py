"""A real program's trace in the page: FastAPI on uvicorn under load, as `python -m ferrio --trace` records it."""

import http.client
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from tests.browser.conftest import settle

PROGRAM = Path(__file__).with_name("served.py")

# What clients ask for, and how often. The report blocks the loop.
PATHS = {"/": 50, "/stock": 25, "/order": 15, "/image": 10}


def load(port, seconds, seed):
    """Asks the server for one thing after the other, with short pauses."""
    choose = random.Random(seed)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        (path,) = choose.choices(list(PATHS), list(PATHS.values()))
        connection.request("GET", path)
        assert connection.getresponse().read()
        time.sleep(choose.random() * 0.01)
    connection.close()


@pytest.fixture(scope="module")
def recorded(request, tmp_path_factory):
    """The page of a server under load: for two seconds, or for ten if there will be a picture of it."""
    file = tmp_path_factory.mktemp("recorded") / "served.html"
    seconds = 10 if request.config.getoption("--write-pictures") else 2
    command = [sys.executable, "-m", "ferrio", f"--trace={file}", PROGRAM]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        port = int(server.stdout.readline())
        clients = [threading.Thread(target=load, args=(port, seconds, seed)) for seed in range(8)]
        for client in clients:
            client.start()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        for path in ("/report", "/report", "/report"):
            time.sleep(seconds / 5)
            connection.request("GET", path)
            assert connection.getresponse().read()
        for client in clients:
            client.join()
        connection.request("GET", "/stop")
        assert connection.getresponse().read()
        connection.close()
        assert server.wait(30) == 0
    return file.read_text(encoding="ascii")


@pytest.fixture
def page(viewer, recorded):
    return viewer.open_text(recorded)


def test_real_trace_has_what_the_program_did(page):
    assert page.inner_text("#program") == "served.py"
    names = set(page.evaluate("ferrio.trace.rows.map(row => row.name)"))
    assert {"mailer-1", "mailer-2", "price-feed", "uvicorn"} <= names
    coroutines = page.evaluate("ferrio.trace.rows.filter(row => row.coro === 'RequestResponseCycle.run_asgi').length")
    assert coroutines > 50
    lanes = page.evaluate("ferrio.trace.lanes.map(lane => lane.kind)")
    assert lanes.count("loop") == 1 and "worker" in lanes
    labels = set(page.evaluate("ferrio.trace.labels"))
    assert {"sleep", "Queue.get", "resize_image"} <= labels
    page.evaluate("ferrio.goTo({row: ferrio.trace.rows.findIndex(row => row.name === 'price-feed')})")
    text = page.inner_text("#view-selection")
    assert "follow_prices" in text and "served.py:" in text and "Waited for\nsleep" in text


def test_report_is_named_as_what_blocks(page):
    blocked = page.evaluate(
        "ferrio.trace.blocking.map(slice => ferrio.trace.rows[ferrio.trace.slices.row[slice]].coro)"
    )
    assert blocked.count("RequestResponseCycle.run_asgi") >= 3
    assert page.locator("#view-blocked tbody tr").count() == len(blocked)
    page.locator("#view-blocked .link").first.click()
    assert page.locator("#view-selection h2").first.inner_text() == "Blocks the loop"


def test_real_trace_is_consistent(page):
    """A thread does one thing at a time, and every wake-up that led to a step has it."""
    wrong = page.evaluate(
        """(() => { const { slices, wakes, wakeOf, stepAfter, stepsOf, rows, duration } = ferrio.trace, wrong = [];
           rows.forEach((row, at) => {
             if (row.kind !== 'task') return;
             let end = 0;
             for (let i = stepsOf.first[at]; i < stepsOf.first[at + 1]; i += 1) {
               const slice = stepsOf.ids[i];
               if (slices.start[slice] < end) wrong.push(['overlap', row.name, slice]);
               end = slices.start[slice] + slices.length[slice];
             }
           });
           const band = ferrio.road.traffic;
           ferrio.trace.lanes.forEach((lane, at) => {
             for (let i = band.first[at] + 1; i < band.first[at + 1]; i += 1) {
               if (band.paint[i] === 4 || band.paint[i - 1] === 4) continue;
               if (band.start[i] < band.end[i - 1]) wrong.push(['lane', i]);
             }
           });
           stepAfter.forEach((slice, wake) => {
             if (slice < 0 && wakes.time[wake] + wakes.delay[wake] < duration) wrong.push(['wake', wake]);
           });
           wakeOf.forEach((wake, slice) => {
             if (wake >= 0 && wakes.to[wake] !== slices.row[slice]) wrong.push(['row', slice]);
           });
           return wrong.slice(0, 10); })()"""
    )
    assert wrong == []


def test_real_trace_can_be_moved_through(page):
    for _ in range(12):
        page.keyboard.press("w")
        page.keyboard.press("d")
    settle(page)
    assert page.evaluate("ferrio.camera.to - ferrio.camera.from") < page.evaluate("ferrio.trace.duration") / 100
    page.keyboard.press("0")
    for mode in ("tree", "flat", "shared"):
        page.select_option("#mode", mode)
        settle(page)


def test_picture_of_a_whole_trace(viewer, recorded, take):
    page = viewer.open_text(recorded)
    page.evaluate("ferrio.nextBlocked(1)")
    take(page, "trace-whole")


def test_picture_of_a_wake_up(viewer, recorded, take):
    page = viewer.open_text(recorded)
    page.evaluate(
        """() => { const { wakes, rows, slices, stepAfter } = ferrio.trace;
           const wake = wakes.to.findIndex((row, at) => wakes.from[at] < rows.length && stepAfter[at] >= 0
             && rows[row].name.startsWith('mailer-') && rows[wakes.from[at]].kind === 'task' && at > 300);
           ferrio.choose({ slice: stepAfter[wake] });
           ferrio.camera.look(wakes.time[wake] - 4e6, wakes.time[wake] + 4e6); }"""
    )
    take(page, "trace-wakes")


def test_picture_of_a_phone(viewer, recorded, take):
    size = {"width": 390, "height": 720}
    page = viewer.open_text(recorded, viewport=size, has_touch=True, is_mobile=True, color_scheme="dark")
    page.locator("#tab-blocked").tap()
    page.locator("#view-blocked .link").first.tap()
    take(page, "trace-phone")
