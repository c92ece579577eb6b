"""How long a person waits in the browser from dropping a file to the bars of the answer, everything warm.

    python -m benchmarks.drop_to_bars

Needs Playwright (requirements-dev.txt) and Chromium. Each drop is of another file, on a page that was loaded anew;
the time is the browser's own, from the moment the page is given the file to the first picture in which the bars stand.
The dashboard has answered before, so that the network is loaded. "of it the answer" is what the page itself says it
took to decode and classify.
"""

from __future__ import annotations

import argparse
import re
import shutil
import statistics
import tempfile
from pathlib import Path

import psutil
from playwright.sync_api import Page, sync_playwright

from benchmarks.dashboard import dashboard
from benchmarks.latency import upload
from benchmarks.machine import machine_line
from benchmarks.measure import table
from samplemind_core import Workspace, build_config

SEEN = ["[data-testid=stMetric]", ".st-key-classify-confidence .js-plotly-plot .bars .point path"]
WATCH = """seen => {
    const when = (what, from) => new Promise(done => {
        const look = () => document.querySelector(what) ? done(performance.now() - from) : requestAnimationFrame(look);
        look();
    });
    globalThis.waited = new Promise(done => document.addEventListener('change', () => {
        const dropped = performance.now();
        done(Promise.all(seen.map(what => when(what, dropped))));
    }, {capture: true, once: true}));
}"""


def drop(page: Page, address: str, number: int) -> tuple[list[float], str]:
    """Return the milliseconds from a drop to its class and to its bars, and what the page says the answer took."""
    page.goto(address)
    page.wait_for_selector('.stApp[data-test-script-state="notRunning"]')
    chooser = page.locator("input[type=file]")
    chooser.wait_for(state="attached")
    page.evaluate(WATCH, SEEN)
    chooser.set_input_files({"name": f"hit-{number}.wav", "mimeType": "audio/wav", "buffer": upload(number)})
    waited: list[float] = page.evaluate("() => globalThis.waited")
    said = page.get_by_text(re.compile("^Answered in")).inner_text()
    return waited, said.removeprefix("Answered in ")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--drops", type=int, default=15)
    drops = parser.parse_args().drops
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    print(machine_line())
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace.open(Path(folder))
        workspace.make_demo(per_class=40)
        # One epoch: how good the network is plays no part in how fast it answers.
        workspace.train("demo", build_config("quick", {"epochs": 1}))
        workspace.close()
        with dashboard(Path(folder)) as (port, _), sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            address = f"http://127.0.0.1:{port}/classify"
            for number in range(3):
                drop(page, address, number)
            found = [drop(page, address, 3 + number) for number in range(drops)]
            browser.close()
    print(f"\nLoad while measured: {psutil.getloadavg()[0]:.1f}; of it the answer: {found[len(found) // 2][1]}\n")
    rows = []
    for what, place in (("class named", 0), ("bars drawn", 1)):
        waited = sorted(one[place] for one, _ in found)
        rows.append([what, *(f"{one:.0f}" for one in (statistics.median(waited), waited[0], waited[-1]))])
    print(table([f"after the drop, {drops} files", "median ms", "fastest ms", "slowest ms"], rows))


if __name__ == "__main__":
    main()
