"""What the page draws: every number of the trace, lanes and rows, colours, arrows, at any width and in the dark."""

import itertools
import zlib

import pytest
from playwright.sync_api import Page
from tests.browser.conftest import settle
from tests.browser.synthetic import NONE, lengths, make_trace, table

COLUMNS = {
    "slices": ["start", "length", "row", "label", "kind"],
    "wakes": ["time", "from", "to", "label", "delay"],
    "waits": ["start", "length", "row", "label"],
    "polls": ["start", "length", "lane"],
}


def tiny(**changes):
    """Returns a trace of one task on one loop, with what a test changes."""
    task = {"kind": "task", "name": "t", "coro": "work", "lane": 0, "created": 0, "ended": None, "end": None}
    trace = {
        **dict.fromkeys(("python", "ferrio"), "3.13.0"),
        "version": 1,
        "program": "tiny.py",
        "began": 1.0,
        "lost": 0,
        "duration": 1_000_000_000,
        "lanes": [{"name": "MainThread", "kind": "loop", "loop": 0}],
        "rows": [{**task, "parent": None, "stack": None}],
        "frames": [],
        "stacks": [],
        "labels": ["sleep"],
        "slices": table([(1000, 500_000_000, 0, NONE, 0)], *COLUMNS["slices"]),
    }
    trace |= {name: table([], *COLUMNS[name]) for name in ("wakes", "waits", "polls")}
    return trace | changes


def pixel(page: Page, x: float, y: float) -> str:
    """Returns the colour that the road has at a place, as the style sheet writes it."""
    box = page.locator("#road").bounding_box()
    clip = {"x": box["x"] + round(x), "y": box["y"] + round(y), "width": 1, "height": 1}
    settle(page)
    image = page.screenshot(clip=clip, scale="css")
    at, data = 8, b""
    while at < len(image):
        size = int.from_bytes(image[at : at + 4])
        if image[at + 4 : at + 8] == b"IDAT":
            data += image[at + 8 : at + 8 + size]
        at += size + 12
    # The first byte names a filter, which leaves the first pixel as it is.
    return "#" + zlib.decompress(data)[1:4].hex()


@pytest.mark.parametrize("events", [1000, 100_000, 1_000_000])
def test_trace_of_any_size_loads_and_answers(viewer, events):
    trace = make_trace(events)
    page = viewer.open(trace)
    assert page.get_attribute("body", "data-state") == "ready"
    shown = page.evaluate("['slices', 'wakes', 'waits', 'polls'].map(name => ferrio.trace[name].count)")
    assert shown == [trace[name]["count"] for name in COLUMNS]
    tasks = sum(row["kind"] == "task" for row in trace["rows"])
    assert f"{tasks:,} tasks" in page.inner_text("#facts")
    page.locator("#road").press("+")
    settle(page)
    span = page.evaluate("[ferrio.road.canvas.dataset.from, ferrio.road.canvas.dataset.to].map(Number)")
    assert span[1] - span[0] < trace["duration"] * 0.6


def test_every_number_arrives(viewer):
    # Times and lengths that don't fit 32 bits, and just fit, are among them.
    slices = [(5, 1, 0, 0, 0), (NONE - 1, NONE, 0, NONE, 0), (3 * 2**33, 2**40 + 7, 0, 0, 1), (3 * 2**33, 9, 0, 0, 4)]
    slices.append((3 * 2**33 + NONE, NONE - 1, 0, 0, 0))
    trace = tiny(slices=table(slices, *COLUMNS["slices"]), duration=2**42)
    page = viewer.open(trace)
    read = page.evaluate(
        "Object.fromEntries(Object.entries(ferrio.trace.slices).map(([k, v]) => [k, v.length ? [...v] : v]))"
    )
    assert read["count"] == len(slices)
    for at, name in enumerate(COLUMNS["slices"]):
        assert read[name] == [row[at] for row in slices], name


def test_a_trace_without_any_event_is_a_page(viewer):
    page = viewer.open(tiny(rows=[], slices=table([], *COLUMNS["slices"]), duration=0))
    assert page.get_attribute("body", "data-state") == "ready"
    assert "Nothing blocked a loop." in page.inner_text("#summary-text")


def test_rows_can_be_a_tree_flat_or_shared(page, small_trace):
    tasks = [row for row in small_trace["rows"] if row["kind"] == "task"]
    lanes, others = len(small_trace["lanes"]), 2  # a loop's callbacks and its I/O; jobs are drawn on their lane
    page.select_option("#mode", "tree")
    settle(page)
    assert page.get_attribute("#road", "data-tracks") == str(lanes + others + len(tasks))
    depths = page.evaluate("Object.fromEntries(ferrio.layout.tracks.map(track => [track.name, track.depth]))")
    assert (depths["main"], depths["acceptor"], depths["request-1"]) == (1, 2, 3)
    page.select_option("#mode", "shared")
    settle(page)
    assert lanes + others < int(page.get_attribute("#road", "data-tracks")) < len(tasks)
    shared = page.evaluate(
        """ferrio.layout.tracks.filter(track => track.kind === 'shared').map(
            track => track.rows.map(row => [ferrio.trace.born[row], ferrio.trace.died[row]]))"""
    )
    for track in shared:
        assert all(before[1] <= after[0] for before, after in itertools.pairwise(track))
    page.select_option("#mode", "flat")
    page.select_option("#sort", "name")
    names = page.evaluate("ferrio.layout.tracks.filter(track => track.kind === 'row').map(track => track.name)")
    assert names[2:5] == ["acceptor", "cache-refresh", "heartbeat"]
    page.select_option("#sort", "busy")
    busy = page.evaluate(
        """ferrio.layout.tracks.slice(3).filter(track => track.kind === 'row').map(
            track => ferrio.trace.busy[track.rows[0]])"""
    )
    assert busy == sorted(busy, reverse=True)


def test_folded_family_is_one_row_with_all_its_steps(page):
    page.select_option("#mode", "tree")
    before = page.evaluate("ferrio.layout.tracks.length")
    page.evaluate("ferrio.goTo({row: ferrio.trace.rows.findIndex(row => row.name === 'acceptor')})")
    page.locator("#road").press("x")
    settle(page)
    folded = page.evaluate("ferrio.layout.tracks.find(track => track.name === 'acceptor').rows")
    assert len(folded) > 10
    assert page.evaluate("ferrio.layout.tracks.length") == before - len(folded) + 1
    drawn = page.evaluate(
        """(() => { const at = ferrio.layout.tracks.findIndex(track => track.name === 'acceptor');
           return ferrio.layout.slices.first[at + 1] - ferrio.layout.slices.first[at]; })()"""
    )
    assert drawn == page.evaluate("rows => rows.reduce((sum, row) => sum + ferrio.trace.steps[row], 0)", folded)
    page.locator("#road").press("x")
    assert page.evaluate("ferrio.layout.tracks.length") == before


def test_click_on_a_lane_folds_it(page):
    before = page.evaluate("ferrio.layout.tracks.length")
    page.locator("#road").click(position={"x": 40, "y": 40})
    assert page.evaluate("ferrio.layout.tracks.length") == 3
    page.locator("#road").click(position={"x": 40, "y": 40})
    assert page.evaluate("ferrio.layout.tracks.length") == before


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_blocks_is_red_and_the_rest_is_not(viewer, small_trace, scheme):
    page = viewer.open(small_trace, color_scheme=scheme)
    red, step = page.evaluate("[ferrio.theme.blocked, ferrio.theme.slices[0]]")
    page.locator("#road").press("b")
    page.locator("#road").press("f")
    settle(page)
    x, y = page.evaluate(
        """(() => { const { camera, layout, trace, chosen } = ferrio;
           const track = layout.tracks[layout.trackOf[chosen.row]];
           const end = trace.slices.start[chosen.slice] + trace.slices.length[chosen.slice];
           return [camera.x(end) - 12, ferrio.road.top(track) + track.height / 2]; })()"""
    )
    assert pixel(page, x, y) == red
    assert pixel(page, x, 24 + 17) == red, "on the lane"
    page.evaluate(
        """const { trace } = ferrio;
           const steps = trace.longestSlices(2000).filter(slice => trace.slices.kind[slice] === 0);
           ferrio.goTo({ slice: steps.find(slice => !trace.isBlocking(slice)) })"""
    )
    page.locator("#road").press("f")
    assert pixel(page, 1280 - 340 - 180, 24 + 17) == step


def test_dark_and_light_follow_the_system(viewer, small_trace):
    grounds = {}
    page = viewer.open(small_trace)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        settle(page)
        at = page.evaluate("[ferrio.camera.gutter + 2, ferrio.camera.height - 3]")
        page.evaluate("ferrio.camera.look(ferrio.trace.duration * 0.5, ferrio.trace.duration * 0.5 + 1000, 1e9)")
        page.locator("#road").press("Home")
        grounds[scheme] = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert page.evaluate("ferrio.theme.ground") == {"light": "#fdfcfa", "dark": "#14171b"}[scheme], at
    assert grounds["light"] != grounds["dark"]


def test_arrows_of_all_rows_are_drawn_close_up_and_those_of_one_row_from_afar(page):
    assert page.get_attribute("#road", "data-arrows") == "0"
    page.evaluate("ferrio.choose({row: ferrio.trace.rows.findIndex(row => row.name === 'acceptor')})")
    settle(page)
    assert int(page.get_attribute("#road", "data-arrows")) > 20
    page.evaluate("ferrio.choose({})")
    wake = page.evaluate(
        """(() => { const { wakes } = ferrio.trace;
           const wake = wakes.from.findIndex((row, at) => row !== 0xffffffff && row !== wakes.to[at] && at > 100);
           ferrio.choose({ slice: ferrio.trace.stepAfter[wake] });
           ferrio.camera.look(wakes.time[wake] - 50000, wakes.time[wake] + 50000, 0);
           return wake; })()"""
    )
    settle(page)
    assert int(page.get_attribute("#road", "data-arrows")) >= 1
    x, top, bottom = page.evaluate(
        """wake => { const { camera, layout, trace } = ferrio;
           const middle = track => ferrio.road.top(track) + track.height / 2;
           const at = row => middle(layout.tracks[layout.shownOn(row)]);
           const ends = [at(trace.wakes.from[wake]), at(trace.wakes.to[wake])].sort((a, b) => a - b);
           return [camera.x(trace.wakes.time[wake]), ...ends]; }""",
        wake,
    )
    colours = {pixel(page, x + by, (top + bottom) / 2) for by in (-1, 0, 1)}
    assert page.evaluate("ferrio.theme.arrow") in colours


def test_the_first_wake_up_before_a_step_led_to_it(viewer):
    wakes = [(100, NONE, 0, 0, 100), (150, NONE, 0, 0, 50), (700, 0, 0, 0, 200), (960, 0, 0, 0, 1040)]
    slices = [(200, 300, 0, NONE, 0), (600, 50, 0, NONE, 0), (900, 9, 0, NONE, 4), (900, 50, 0, NONE, 0)]
    trace = tiny(wakes=table(wakes, *COLUMNS["wakes"]), slices=table(slices, *COLUMNS["slices"]), duration=2000)
    page = viewer.open(trace)
    assert page.evaluate("[...ferrio.trace.wakeOf]") == [0, -1, -1, 2]
    assert page.evaluate("[0, 3].map(slice => ferrio.trace.readyTime(slice))") == [100, 200]
    assert page.evaluate("[...ferrio.trace.stepAfter]") == [0, 0, 3, -1]


def test_runs_hold_every_slice_once(page):
    """What is narrower than a pixel is merged, and nothing is left out or drawn twice, at any zoom."""
    outcome = page.evaluate(
        """(() => { const band = ferrio.road.traffic, wrong = [];
           for (const pixel of [1, 50, 3000, 1e5, 1e7]) {
             let next = band.first[0], busy = 0, narrow = 0;
             band.runs(0, 0, Infinity, pixel, (low, high, begin, end, sum) => {
               if (low !== next || begin !== band.start[low]) wrong.push([pixel, low, next]);
               if (high - low > 1 && end - begin > 2 * pixel) wrong.push(['wide', pixel, low]);
               next = high; busy += sum;
             });
             if (next !== band.first[1] || Math.abs(busy - (band.sum[next] - band.sum[0])) > 1) wrong.push(pixel);
           }
           return wrong; })()"""
    )
    assert outcome == []


@pytest.mark.parametrize("setting", [{"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}])
def test_phone_shows_the_road_and_the_panel(viewer, small_trace, setting):
    page = viewer.open(small_trace, device_scale_factor=2, **setting)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    box = page.locator("#road").bounding_box()
    assert box["height"] > 300
    assert page.locator("#view-blocked").is_hidden(), "the panel is folded until it is wanted"
    page.locator("#tab-blocked").tap()
    page.locator("#view-blocked .link").first.tap()
    assert page.locator("#view-selection h2").first.inner_text() == "Blocks the loop"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_what_is_missing_is_told(viewer):
    page = viewer.open(tiny(lost=1234, whole=False, pid=77))
    assert "1,234 events were lost" in page.inner_text("#warning")
    assert page.inner_text("#facts").startswith("the latest 1.00 s")
    page.locator("#tab-summary").click()
    assert "process 77" in page.inner_text("#view-summary")


def test_another_thread_is_named_as_the_waker(viewer):
    wakes = table([(500, NONE, 0, 0, 500), (600_000_000, NONE, 0, 1, 0)], *COLUMNS["wakes"])
    slices = table([(1000, 9, 0, NONE, 0), (600_000_000, 9, 0, NONE, 0)], *COLUMNS["slices"])
    page = viewer.open(tiny(labels=["another thread", "sleep"], wakes=wakes, slices=slices))
    for slice_, wanted in enumerate(["woken by\nanother thread\n", "woken by\nthe loop (sleep)\n"]):
        page.evaluate("slice => ferrio.goTo({ slice })", slice_)
        assert wanted in page.inner_text("#view-selection")
    woken = page.inner_text("#view-selection").partition("Woken by\n")[2]
    assert "another thread\n" in woken and "the loop\nsleep" in woken


def test_length_of_a_column_is_checked(viewer):
    trace = tiny()
    trace["slices"] |= {"length": lengths([1, 2])}
    page = viewer.open(trace)
    assert page.get_attribute("body", "data-state") == "failed"
    assert "The trace can't be read" in page.inner_text("#warning")
    assert len(viewer.wrong) == 1 and viewer.wrong[0].startswith("error: Error: a column")
    viewer.wrong.clear()
