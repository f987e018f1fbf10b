"""How a reader finds the way: wheel, drag, touch and keys; hovering, clicking, searching; the address; the tables."""

import pytest
from playwright.sync_api import Page, expect
from tests.browser.conftest import settle, until

# Returns the middle of a slice on its own row, as a place of the window.
PLACE = """slice => { const { camera, layout, trace, road } = ferrio;
    const track = layout.tracks[layout.shownOn(trace.slices.row[slice])];
    const box = road.canvas.getBoundingClientRect();
    return [box.x + camera.x(trace.slices.start[slice] + trace.slices.length[slice] / 2),
            box.y + road.top(track) + track.height / 2]; }"""

# A step of a request that another task or a callback woke.
WOKEN = """ferrio.trace.wakes.to.findIndex((row, at) => at > 200 && ferrio.trace.wakes.from[at] !== 0xffffffff
    && ferrio.trace.stepAfter[at] >= 0 && ferrio.trace.rows[row].name.startsWith('request-'))"""


def view(page: Page) -> tuple[int, int]:
    """Returns from when to when the page shows."""
    settle(page)
    return int(page.get_attribute("#road", "data-from")), int(page.get_attribute("#road", "data-to"))


def span(page: Page) -> int:
    begin, end = view(page)
    return end - begin


@pytest.fixture
def woken(page):
    """A step with its wake-up, in view."""
    wake = page.evaluate(WOKEN)
    slice_ = page.evaluate("wake => ferrio.trace.stepAfter[wake]", wake)
    page.evaluate(
        """slice => { ferrio.choose({ slice }); ferrio.zoomToChoice(); ferrio.choose({}); }""",
        slice_,
    )
    settle(page)
    return wake, slice_


def test_hover_says_what_how_long_and_who_woke_it(page, woken):
    wake, slice_ = woken
    page.mouse.move(*page.evaluate(PLACE, slice_))
    tip = page.locator("#tip")
    expect(tip).to_be_visible()
    text = tip.inner_text()
    waker = page.evaluate("wake => ferrio.trace.rowName(ferrio.trace.wakes.from[wake])", wake)
    assert "RequestResponseCycle.run_asgi" in text
    assert "step: " in text and f"woken by {waker}" in text and "in the ready queue for " in text
    page.mouse.move(5, 5)
    expect(tip).to_be_hidden()


def test_hover_over_a_name_shows_it_whole(page):
    box = page.locator("#road").bounding_box()
    y = page.evaluate("ferrio.road.top(ferrio.layout.tracks.find(track => track.kind === 'shared')) + 10")
    page.mouse.move(box["x"] + 60, box["y"] + y)
    assert page.locator("#tip b").inner_text() == "RequestResponseCycle.run_asgi"
    assert "one after the other" in page.locator("#tip").inner_text()


def test_hover_over_many_slices_counts_them(page):
    """From afar, several slices share a pixel; the tip says how many and shows the longest."""
    box = page.locator("#road").bounding_box()
    page.evaluate("ferrio.camera.look(0, ferrio.trace.duration * 1.02, 0)")
    x, count, longest = page.evaluate(
        """(() => { const band = ferrio.road.traffic, { camera } = ferrio;
           for (let x = camera.gutter + 5; x < camera.width; x += 1) {
             const near = band.between(0, camera.time(x), camera.time(x));
             const wide = band.between(0, camera.time(x) - 2 * camera.pixel, camera.time(x) + 2 * camera.pixel);
             if (near.length === 0 && wide.length > 3) {
               const lengths = wide.map(at => band.end[at] - band.start[at]);
               return [x, wide.length, Math.max(...lengths)];
             }
           } })()"""
    )
    page.mouse.move(box["x"] + x, box["y"] + 24 + 17)
    assert f"{count} slices here; the longest:" in page.locator("#tip").inner_text()
    hovered = page.evaluate("ferrio.trace.slices.length[ferrio.hovered.slice]")
    assert hovered == longest


def test_click_shows_all_that_is_known(page, woken, small_trace):
    _, slice_ = woken
    page.mouse.click(*page.evaluate(PLACE, slice_))
    panel = page.locator("#view-selection")
    expect(panel).to_be_visible()
    row = page.evaluate("slice => ferrio.trace.slices.row[slice]", slice_)
    about = small_trace["rows"][row]
    text = panel.inner_text()
    for wanted in (about["name"], about["coro"], "was ready for", "busy", "longest", "Waited for", "StreamReader.read"):
        assert wanted in text
    assert "shop/app.py:88" in text and "handle_events uvicorn/protocols/http/h11_impl.py:251" in text, "its creation"
    assert panel.locator(".place").nth(1).get_attribute("title") == "/srv/shop/app.py"
    assert page.locator("#announcement").inner_text().startswith(about["name"])
    panel.get_by_role("button", name="acceptor", exact=True).first.click()
    assert page.locator("#view-selection h2.name").inner_text() == "acceptor"
    assert "Children" in panel.inner_text() and "Wakes" in panel.inner_text()


def test_steps_and_totals_are_those_of_the_trace(page):
    row = page.evaluate("ferrio.trace.rows.findIndex(row => row.name === 'heartbeat')")
    page.evaluate("row => ferrio.goTo({ row })", row)
    steps = page.evaluate("row => ferrio.trace.slices.row.filter(at => at === row).length", row)
    facts = page.locator("#view-selection dl").last
    assert facts.locator("dt:text-is('steps') + dd").inner_text() == f"{steps:,}"
    slept = page.evaluate(
        """row => { const { waits } = ferrio.trace;
           return waits.length.reduce((sum, length, at) => sum + (waits.row[at] === row ? length : 0), 0); }""",
        row,
    )
    assert page.evaluate("row => ferrio.trace.waiting[row]", row) == pytest.approx(slept)


def test_wheel_zooms_at_the_pointer(page):
    box = page.locator("#road").bounding_box()
    x = box["x"] + 700
    time = "x => ferrio.camera.time(x)"
    before, wide = page.evaluate(time, 700), span(page)
    page.mouse.move(x, box["y"] + 100)
    page.mouse.wheel(0, -400)
    until(page, f"ferrio.camera.to - ferrio.camera.from < {wide * 0.8}")
    assert page.evaluate(time, 700) == pytest.approx(before, abs=span(page) / 500)


def test_drag_moves_and_a_drag_on_the_axis_zooms(page):
    page.evaluate("ferrio.camera.look(ferrio.trace.duration * 0.4, ferrio.trace.duration * 0.6)")
    begin, end = view(page)
    box = page.locator("#road").bounding_box()
    page.mouse.move(box["x"] + 700, box["y"] + 300)
    page.mouse.down()
    page.mouse.move(box["x"] + 600, box["y"] + 300, steps=4)
    page.mouse.up()
    moved = view(page)
    assert moved[0] > begin and moved[1] - moved[0] == pytest.approx(end - begin, abs=2)
    assert page.evaluate("ferrio.chosen.row") == -1, "a drag isn't a click"
    wanted = page.evaluate("[400, 500].map(x => ferrio.camera.time(x))")
    page.mouse.move(box["x"] + 400, box["y"] + 10)
    page.mouse.down()
    page.mouse.move(box["x"] + 500, box["y"] + 10, steps=4)
    page.mouse.up()
    assert view(page) == pytest.approx(wanted, abs=span(page) / 50)


def test_two_fingers_zoom(viewer, small_trace):
    page = viewer.open(small_trace, has_touch=True, viewport={"width": 390, "height": 844}, is_mobile=True)
    wide = span(page)
    session = page.context.new_cdp_session(page)
    y = page.locator("#road").bounding_box()["y"] + 120

    def touch(kind, *places):
        points = [{"x": x, "y": y, "id": at} for at, x in enumerate(places)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", 220, 260)
    for step in range(1, 6):
        touch("touchMove", 220 - 12 * step, 260 + 12 * step)
    touch("touchEnd")
    assert span(page) < wide * 0.6
    assert page.evaluate("ferrio.chosen.row") == -1, "a pinch isn't a tap"


def test_keys_move(page):
    def press(key):
        page.evaluate("ferrio.camera.look(ferrio.trace.duration * 0.4, ferrio.trace.duration * 0.5)")
        before = view(page)
        page.keyboard.press(key)
        return before, view(page)

    for key in ("w", "+"):
        (begin, end), (after, last) = press(key)
        assert begin < after < last < end, key
    for key in ("s", "-", "0"):
        (begin, end), (after, last) = press(key)
        assert after < begin < end < last, key
    for key, sign in {"a": -1, "ArrowLeft": -1, "Shift+A": -1, "d": 1, "ArrowRight": 1, "Shift+ArrowRight": 1}.items():
        (begin, end), (after, last) = press(key)
        assert (after - begin) * sign > 0, key
        assert last - after == pytest.approx(end - begin, abs=2), key


def test_keys_scroll_the_rows(page):
    page.select_option("#mode", "flat")
    page.locator("#road").focus()
    page.keyboard.press("ArrowDown")
    assert page.evaluate("ferrio.camera.scroll") == 60
    page.keyboard.press("End")
    end = page.evaluate("ferrio.camera.scroll")
    assert end == page.evaluate("ferrio.camera.rowsHeight - ferrio.camera.height + 24")
    page.keyboard.press("PageUp")
    assert 0 < page.evaluate("ferrio.camera.scroll") < end
    page.keyboard.press("Home")
    assert page.evaluate("ferrio.camera.scroll") == 0


def test_keys_step_through_a_row_and_through_what_blocked(page):
    row = page.evaluate("ferrio.trace.rows.findIndex(row => row.name === 'acceptor')")
    page.evaluate("row => ferrio.choose({ row })", row)
    steps = page.evaluate(
        "row => [...ferrio.trace.slices.row.keys()].filter(at => ferrio.trace.slices.row[at] === row)", row
    )
    for key, wanted in ((".", steps[0]), (".", steps[1]), (".", steps[2]), (",", steps[1])):
        page.keyboard.press(key)
        assert page.evaluate("ferrio.chosen.slice") == wanted
    blocking = page.evaluate("ferrio.trace.blocking")
    for wanted in (*blocking, blocking[0]):
        page.keyboard.press("b")
        assert page.evaluate("ferrio.chosen.slice") == wanted
    page.keyboard.press("Escape")
    assert page.evaluate("ferrio.chosen.slice") == -1
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#keys")).to_be_hidden()


def test_search_finds_names_coroutines_labels_and_files(page, small_trace):
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "search"
    requests = [at for at, row in enumerate(small_trace["rows"]) if row["coro"] == "RequestResponseCycle.run_asgi"]
    for query in ("run_asgi", "H11_IMPL.py"):
        page.fill("#search", query)
        expect(page.locator("#hits")).to_have_text(f"{len(requests):,} hits")
    page.keyboard.press("Enter")
    expect(page.locator("#hits")).to_have_text(f"1 of {len(requests):,} hits")
    assert page.evaluate("ferrio.chosen.row") == requests[0]
    page.locator("#road").focus()
    page.keyboard.press("n")
    assert page.evaluate("ferrio.chosen.row") == requests[1]
    page.keyboard.press("Shift+N")
    page.keyboard.press("Shift+N")
    assert page.evaluate("ferrio.chosen.row") == requests[-1]
    waits = page.evaluate("ferrio.trace.waits.label.filter(at => ferrio.trace.labels[at] === 'Lock.acquire').length")
    page.fill("#search", "lock.acq")
    expect(page.locator("#hits")).to_have_text(f"{waits} hits")
    page.locator("#next-hit").click()
    assert page.evaluate("ferrio.trace.label(ferrio.trace.waits.label[ferrio.chosen.wait])") == "Lock.acquire"
    assert "Lock.acquire" in page.locator("#view-selection").inner_text()
    page.fill("#search", "no such thing")
    expect(page.locator("#hits")).to_have_text("nothing found")
    page.keyboard.press("Escape")
    assert page.input_value("#search") == "" and page.inner_text("#hits") == ""


def test_lists_lead_to_what_they_name(page, small_trace):
    blocking = page.evaluate("ferrio.trace.blocking.length")
    assert blocking > 0
    assert page.locator("#view-blocked tbody tr").count() == blocking
    page.locator("#view-blocked .link").first.click()
    assert page.evaluate("ferrio.trace.isBlocking(ferrio.chosen.slice)")
    page.locator("#tab-longest").click()
    longest = page.evaluate("ferrio.trace.longestSlices(5).map(slice => ferrio.trace.slices.length[slice])")
    every = page.evaluate("[...ferrio.trace.slices.length].sort((a, b) => b - a).slice(0, 5)")
    assert longest == every
    page.locator("#tab-longest").press("ArrowRight")
    assert page.evaluate("document.activeElement.id") == "tab-summary"
    threads = page.locator("#table-threads tbody tr")
    assert threads.count() == len(small_trace["lanes"])
    assert "MainThread" in threads.first.inner_text()
    page.locator("#table-rows .link", has_text="price-report").click()
    assert page.locator("#view-selection h2.name").inner_text() == "price-report"


def test_window_of_the_strip_can_be_dragged_and_resized(page):
    page.evaluate("ferrio.camera.look(ferrio.trace.duration * 0.4, ferrio.trace.duration * 0.6)")
    begin, end = view(page)
    box = page.locator("#minimap").bounding_box()
    left, right = (box["x"] + page.evaluate("time => ferrio.minimap.x(time)", time) for time in (begin, end))
    y = box["y"] + 20

    def drag(start, stop):
        page.mouse.move(start, y)
        page.mouse.down()
        page.mouse.move(stop, y, steps=3)
        page.mouse.up()
        return view(page)

    moved = drag((left + right) / 2, (left + right) / 2 + 60)
    assert moved[0] > begin and moved[1] - moved[0] == pytest.approx(end - begin, abs=2)
    wider = drag(right + 60, right + 100)
    assert wider[0] == pytest.approx(moved[0], abs=2) and wider[1] > moved[1]
    page.mouse.click(box["x"] + 20, y)
    assert view(page)[0] < begin


def test_address_keeps_the_view(page):
    page.select_option("#mode", "flat")
    page.select_option("#sort", "busy")
    page.fill("#search", "request-1")
    expect(page.locator("#next-hit")).to_be_visible()
    page.evaluate("ferrio.choose({slice: ferrio.trace.blocking[0]}); ferrio.camera.look(1e8, 2e8, 40)")
    until(page, "location.hash.includes('view=100000000%2C200000000%2C40')")
    page.reload()
    page.wait_for_selector("body[data-state=ready]", state="attached")
    assert view(page) == (100_000_000, 200_000_000)
    assert page.evaluate("ferrio.chosen.slice === ferrio.trace.blocking[0] && ferrio.camera.scroll === 40")
    assert page.input_value("#search") == "request-1" and page.evaluate("ferrio.search.count") > 0
    assert [page.input_value("#mode"), page.input_value("#sort")] == ["flat", "busy"]


def test_address_that_makes_no_sense_is_ignored(page):
    for address in ("#view=x&slice=-1", "#view=1,2", "#slice=999999999", "#rows=no,no&row=1e9", "#%"):
        page.evaluate("address => { location.hash = address; }", address)
        settle(page)
        assert page.evaluate("ferrio.chosen.slice") == -1, address
        assert page.evaluate("[ferrio.layout.mode, ferrio.layout.sort]") == ["shared", "time"], address


def test_everything_that_can_be_used_has_a_name(page):
    nameless = page.evaluate(
        """[...document.querySelectorAll('button, input, select, canvas, aside, section, [role=tabpanel]')]
            .filter(element => !(element.getAttribute('aria-label') || element.getAttribute('aria-labelledby')))
            .filter(element => !element.textContent.trim() && !(element.labels && element.labels.length))
            .map(element => element.outerHTML)"""
    )
    assert nameless == []
    assert "Trace of shop/__main__.py" in page.locator("#summary-text").inner_text()
    assert page.title() == "shop/__main__.py - ferrio trace"
