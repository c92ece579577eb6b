"""The Runs page as a person uses it: select by mouse, overlay, send the address, delete, undo, save."""

from __future__ import annotations

import csv
import re
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect

from samplemind_core.config import build_config
from samplemind_core.settings import Settings
from samplemind_core.store import Clip, Dataset, Epoch, Run
from samplemind_core.training.clip_record import FILE, ClipRecord
from samplemind_core.workspace import Workspace
from tests.browser.conftest import Dashboard, settled

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

NUM_RUNS, NARROW, ROW_PX = 30, 390, 36
WIDEST = (
    "() => Math.max(document.scrollingElement.scrollWidth, document.querySelector('[data-testid=stMain]').scrollWidth)"
)


@pytest.fixture(scope="module")
def runs(dashboard: Dashboard) -> Iterator[Workspace]:
    """Thirty finished runs; of the newest it is known what became of each validation clip."""
    workspace = Workspace(Settings(workspace=dashboard.workspace, worker="external"))
    now = time.time()
    clips = [
        Clip(row, f"kit/{row}.wav", ("kick", "snare")[row % 2], row % 2, "kit", "val", f"h{row}") for row in range(8)
    ]
    workspace.store.datasets.add(Dataset("d1", "kits", "features", ("kick", "snare"), 8, 0, "p", "test", 0, now), clips)
    for number in range(NUM_RUNS):
        config = build_config("quick", {"lr": (0.001, 0.003, 0.01)[number % 3], "epochs": 4}).model_dump(mode="json")
        tags = ("keep",) if number % 10 == 0 else ()
        run = Run(f"r{number}", f"run {number:02d}", "d1", "finished", config, "ada", now + number, now, tags=tags)
        workspace.store.runs.add(run)
        for epoch in range(1, 5):
            loss = 1.0 / epoch + number / 100
            measured = Epoch(epoch, loss, loss, 1 - loss / 2, 1 - loss / 2, 0.01, 1.0, 99.0)
            workspace.store.runs.add_epoch(run.id, measured)
    targets = np.array([clip.target for clip in clips])
    newest = dashboard.workspace / "runs" / f"r{NUM_RUNS - 1}"
    record = ClipRecord(newest / FILE, np.arange(8), targets, ("kick", "snare"), 4)
    for epoch in range(1, 5):
        right = np.arange(8) < 2 * epoch - 1
        record.note(epoch, np.where(right, targets, 1 - targets), np.where(right, 0.8, 0.3))
    yield workspace
    workspace.close()


def opened(page: Page) -> Locator:
    """Wait until the table and the figures are there: on a first visit the browser loads much for them."""
    expect(page.get_by_test_id("stDataFrame")).to_be_visible(timeout=120_000)
    expect(page.get_by_test_id("stMain").locator(".js-plotly-plot").last).to_be_visible(timeout=120_000)
    return settled(page)


def select(page: Page, row: int) -> None:
    """Click the box of a row: the table is a picture, so by its place."""
    box = page.get_by_test_id("stDataFrame").first.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + 18, box["y"] + ROW_PX * (row + 1) + ROW_PX / 2)


def test_runs_are_selected_overlaid_sent_deleted_and_saved(
    dashboard: Dashboard, runs: Workspace, tmp_path: Path
) -> None:
    context = dashboard.context(width=1440)
    page = dashboard.page(context, "/runs")
    main = opened(page)
    expect(main.get_by_text(f"{NUM_RUNS} runs", exact=True)).to_be_visible()
    select(page, 0)
    expect(page.get_by_role("button", name="Open")).to_be_visible()
    select(page, 1)
    expect(page.get_by_role("button", name="Delete 2")).to_be_visible()
    expect(page).to_have_url(re.compile("pick=r29"))
    expect(main.locator(".js-plotly-plot").first.get_by_text("run 29")).to_be_visible()  # beside its curve
    dashboard.picture(page, "runs-selected-wide")

    # Somebody else opens the address.
    other = dashboard.page(context, page.url.removeprefix(dashboard.url))
    opened(other)
    expect(other.get_by_role("button", name="Delete 2")).to_be_visible()
    other.close()

    with page.expect_download() as download:
        page.get_by_role("button", name="Save as CSV").click()
    saved = list(csv.DictReader(Path(download.value.path()).read_text().splitlines()))
    assert {row["name"] for row in saved} == {"run 28", "run 29"}

    page.get_by_role("button", name="Delete 2").click()
    expect(main.get_by_text("2 runs deleted.")).to_be_visible()
    expect(main.get_by_text(f"{NUM_RUNS - 2} runs", exact=True)).to_be_visible()
    assert len(runs.runs()) == NUM_RUNS - 2
    page.get_by_role("button", name="Undo").click()
    expect(main.get_by_text(f"{NUM_RUNS} runs", exact=True)).to_be_visible()
    assert len(runs.runs()) == NUM_RUNS

    search = page.get_by_placeholder("Search names")
    search.fill("keep")
    search.press("Enter")
    expect(main.get_by_text(f"3 of {NUM_RUNS} runs")).to_be_visible()
    expect(page).to_have_url(re.compile("q=keep"))
    search.fill("nothing like it")
    search.press("Enter")
    page.get_by_role("button", name="Show all").click()
    expect(main.get_by_text(f"{NUM_RUNS} runs", exact=True)).to_be_visible()
    dashboard.check(page)

    select(page, 0)
    page.get_by_role("button", name="Open").click()
    expect(page).to_have_url(re.compile(r"/train\?run=r29"))
    context.close()


def test_what_became_of_each_sample_can_be_slid_through(dashboard: Dashboard, runs: Workspace) -> None:
    context = dashboard.context(width=1440)
    page = dashboard.page(context, f"/train?run=r{NUM_RUNS - 1}")
    settled(page)
    page.get_by_text("What became of each sample").click()
    numbers = page.get_by_test_id("stMetric")
    expect(numbers.filter(has_text="Never right")).to_contain_text("1", timeout=90_000)
    slider = page.get_by_role("slider", name="Epoch")
    slider.focus()
    slider.press("ArrowLeft")
    expect(numbers.filter(has_text="Never right")).to_contain_text("3")
    dashboard.check(page)
    context.close()


def test_the_page_fits_a_narrow_screen(dashboard: Dashboard, runs: Workspace) -> None:
    for scheme in ("light", "dark"):
        context = dashboard.context(NARROW, 844, scheme)
        page = dashboard.page(context, "/runs?pick=r29,r28")
        main = opened(page)
        expect(main.locator(".js-plotly-plot")).to_have_count(3)
        assert page.evaluate(WIDEST) <= NARROW
        dashboard.picture(page, f"runs-{scheme}-narrow")
        dashboard.check(page)
        context.close()
