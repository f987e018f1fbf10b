"""How long the page of a trace takes to load and to draw, in the system's chromium. `make bench-page` runs it.

The traces are those of the tests: a server in a model world. Times are the browser's own. "drawn" is the time from the
page's first line of script to its first picture; "opened" counts from the start of navigation, as a reader does.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

# Fifty frames while the view moves, each drawn when the browser asks for it: milliseconds from one to the next, and
# milliseconds of script in each.
FRAMES = """async ([from, to]) => {
    ferrio.camera.look(from, to);
    const gaps = [], work = [];
    let before = 0;
    for (let frame = 0; frame < 50; frame += 1) {
        const now = await new Promise(done => requestAnimationFrame(done));
        if (before) gaps.push(now - before);
        before = now;
        const by = (to - from) / 300;
        ferrio.camera.look(ferrio.camera.from + by, ferrio.camera.to + by);
        const began = performance.now();
        ferrio.draw();
        work.push(performance.now() - began);
    }
    return [gaps, work]; }"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--events", type=int, nargs="*", default=[1000, 100_000, 1_000_000])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    # What is measured may be missing where only `--help` is asked for.
    from playwright.sync_api import sync_playwright
    from tests.browser.launch import ARGUMENTS, program
    from tests.browser.synthetic import make_trace

    from ferrio.sight import page as trace_page

    print("   events     made   written       size    opened     drawn   frame, whole   frame, 10 ms of it")
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(executable_path=program(), args=ARGUMENTS)
        for events in options.events:
            began = time.perf_counter()
            trace = make_trace(events)
            made = time.perf_counter()
            text = trace_page.render(trace)
            written = time.perf_counter()
            file = Path(folder, "trace.html")
            file.write_text(text, encoding="ascii")
            opened, drawn = [], []
            for _ in range(options.rounds):
                page = browser.new_page(viewport={"width": 1280, "height": 720})
                page.goto(file.as_uri())
                page.wait_for_selector("body[data-state=ready]", state="attached")
                opened.append(int(page.get_attribute("body", "data-opened")))
                drawn.append(int(page.get_attribute("body", "data-milliseconds")))
                whole = page.evaluate(FRAMES, [0, trace["duration"]])
                close = page.evaluate(FRAMES, [trace["duration"] // 2, trace["duration"] // 2 + 10_000_000])
                page.close()
            median = statistics.median
            print(
                f"{events:9,} {made - began:6.1f} s  {written - made:6.2f} s {len(text) / 1e6:7.2f} MB "
                f"{median(opened):6.0f} ms {median(drawn):6.0f} ms "
                f"{median(whole[1]):6.1f} ms ({1000 / median(whole[0]):2.0f}/s) "
                f"{median(close[1]):9.1f} ms ({1000 / median(close[0]):2.0f}/s)"
            )
        browser.close()


if __name__ == "__main__":
    main()
