"""A page that holds what a hostile program chose, and a browser that lacks what the page needs."""

import copy
import socket

import pytest
from tests.browser.conftest import settle, until

from ferrio.sight import page as trace_page

HOSTILE = [
    "</script><script>window.broken = 1</script>",
    "<img src=x onerror='window.broken = 2'>",
    "<!--<script>",
    "]]></style><svg onload=window.broken=3>",
    '"; window.broken = 4; //',
    "@@TRACE@@ ${1 + 1} {{1 + 1}}",
    "\u2028\u2029\x00\x1b[31m\u202e\udc80",
    "javascript:window.broken=5",
    "&lt;b&gt; &amp;",
    "__proto__",
    "x" * 20_000,
]


@pytest.fixture(scope="module")
def hostile_trace(small_trace):
    trace = copy.deepcopy(small_trace)
    for at, row in enumerate(trace["rows"]):
        row["name"] = HOSTILE[at % len(HOSTILE)]
        row["coro"] = HOSTILE[(at + 3) % len(HOSTILE)] if row["coro"] else None
    trace["labels"] = [HOSTILE[at % len(HOSTILE)] for at in range(len(trace["labels"]))]
    trace["frames"] = [[HOSTILE[at], 1, HOSTILE[at + 1]] for at in range(len(trace["frames"]))]
    trace["lanes"] = [{**lane, "name": HOSTILE[at]} for at, lane in enumerate(trace["lanes"])]
    return {**trace, "program": HOSTILE[0], "python": HOSTILE[1], "ferrio": HOSTILE[2]}


def test_hostile_names_are_text(viewer, hostile_trace):
    page = viewer.open(hostile_trace)
    assert page.inner_text("#program") == HOSTILE[0]
    elements = page.evaluate("document.querySelectorAll('script, img, svg, style').length")
    assert elements == 2, "the page's own script and style"
    for row in range(4, 4 + len(HOSTILE)):
        page.evaluate("row => ferrio.goTo({ row })", row)
        assert (
            page.evaluate("document.querySelector('#view-selection h2.name').textContent")
            == HOSTILE[row % len(HOSTILE)]
        )
    box = page.locator("#road").bounding_box()
    for y in range(30, 200, 20):
        page.mouse.move(box["x"] + 500, box["y"] + y)
    for tab in ("blocked", "longest", "summary"):
        page.locator(f"#tab-{tab}").click()
    for mode in ("tree", "flat", "shared"):
        page.select_option("#mode", mode)
        settle(page)
    page.fill("#search", "</script>")
    until(page, "ferrio.search.count > 0")
    assert page.evaluate("window.broken") is None
    assert page.evaluate("document.querySelectorAll('script, img, svg, style').length") == elements
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "long names don't widen the page"


def test_policy_stops_scripts_and_requests(viewer, small_trace):
    page = viewer.open(small_trace)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        address = f"http://127.0.0.1:{server.getsockname()[1]}/"
        outcome = page.evaluate(
            """async address => {
                const script = document.createElement('script');
                script.textContent = 'window.broken = 1';
                const image = new Image();
                const refused = new Promise(done => { image.onerror = () => done('refused'); });
                image.src = address + 'x.png';
                document.body.append(script, image);
                return [await refused, await fetch(address).catch(() => 'refused'), window.broken]; }""",
            address,
        )
        assert outcome == ["refused", "refused", None]
        with pytest.raises(BlockingIOError):
            server.accept()
    assert any("Content Security Policy" in line for line in viewer.wrong)
    viewer.wrong.clear()


def test_browser_without_decompression_is_told_so(viewer, small_trace):
    page = viewer.open(small_trace, before="delete window.DecompressionStream")
    assert page.get_attribute("body", "data-state") == "failed"
    assert "DecompressionStream" in page.inner_text("#warning")


def test_browser_without_fast_base64_reads_the_same(viewer, small_trace):
    page = viewer.open(small_trace, before="delete Uint8Array.fromBase64")
    assert page.evaluate("ferrio.trace.slices.count") == small_trace["slices"]["count"]


@pytest.mark.parametrize("spoil", ["version", "cut"])
def test_data_that_make_no_sense_are_told(viewer, small_trace, spoil):
    if spoil == "version":
        page = viewer.open({**small_trace, "version": 2})
    else:
        text = trace_page.render(small_trace)
        place = text.index('"slices"')
        page = viewer.open_text(text[:place] + text[place + 40 :])
    assert page.get_attribute("body", "data-state") == "failed"
    assert "The trace can't be read" in page.inner_text("#warning")
    viewer.wrong.clear()
