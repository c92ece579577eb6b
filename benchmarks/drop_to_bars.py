"""How long a person waits in the browser from dropping a file to the bars of the answer, everything warm.

    python -m benchmarks.drop_to_bars

Needs Playwright (requirements-dev.txt) and Chromium. Each drop is of another file; the time is the browser's own, from
the moment the page is given the file to the first picture in which the bars stand. Half of the drops are made on a page
that was loaded anew, so that the browser has to start its charts; the others where the file before was taken away. The
dashboard has answered before, so that the network is loaded. "Of it the answer" is what the page itself says it took to
decode and classify.
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


def load(page: Page, address: str) -> None:
    """Load the page anew."""
    page.goto(address)
    page.locator("input[type=file]").wait_for(state="attached")
    page.wait_for_selector('.stApp[data-test-script-state="notRunning"]')


def take_away(page: Page) -> None:
    """Remove the file that was dropped."""
    page.get_by_role("button", name=re.compile("^Remove hit")).click()
    page.get_by_test_id("stMetric").wait_for(state="detached")
    page.wait_for_selector('.stApp[data-test-script-state="notRunning"]')


def drop(page: Page, number: int) -> tuple[list[float], str]:
    """Return the milliseconds from a drop to its class and to its bars, and what the page says the answer took."""
    page.evaluate(WATCH, SEEN)
    chooser = page.locator("input[type=file]")
    chooser.set_input_files({"name": f"hit-{number}.wav", "mimeType": "audio/wav", "buffer": upload(number)})
    waited: list[float] = page.evaluate("() => globalThis.waited")
    said = page.get_by_text(re.compile("^Answered in")).inner_text()
    page.wait_for_selector('.stApp[data-test-script-state="notRunning"]')
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
            rows, answered = [], []
            for how in ("page just loaded", "page in use"):
                found = []
                load(page, address)
                for number in range(3 + drops):
                    found.append(drop(page, number))
                    if how == "page in use":
                        take_away(page)
                    else:
                        load(page, address)
                answered += [said for _, said in found[3:]]
                for what, place in (("class named", 0), ("bars drawn", 1)):
                    waited = sorted(one[place] for one, _ in found[3:])  # the first three warm it up
                    figures = (statistics.median(waited), waited[0], waited[-1])
                    rows.append([f"{how}: {what}", *(f"{one:.0f}" for one in figures)])
            browser.close()
    print(f"\nLoad while measured: {psutil.getloadavg()[0]:.1f}; of it the answer, for example: {answered[-1]}\n")
    print(table([f"after the drop, {drops} files", "median ms", "fastest ms", "slowest ms"], rows))


if __name__ == "__main__":
    main()
