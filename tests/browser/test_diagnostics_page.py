"""Diagnostics as a person uses it: click a cell and hear, choose an operating point, download, both looks, narrow."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from playwright.sync_api import Page, TimeoutError, expect

from tests.browser.conftest import GROUNDS, ROOT, Dashboard, environment, settled, wait_until

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

SECTIONS = ("overview", "confusions", "labels", "calibration", "thresholds", "slices", "report")
WIDEST = (
    "() => Math.max(document.scrollingElement.scrollWidth, document.querySelector('[data-testid=stMain]').scrollWidth)"
)


@pytest.fixture(scope="module", autouse=True)
def _two_runs(dashboard: Dashboard) -> None:
    command = [sys.executable, "-m", "samplemind_core"]
    train = ["train", "--dataset", "demo", "--set", "train.batch_size=32"]
    for arguments in (["demo", "--per-class", "24"], [*train, "--epochs", "1"], [*train, "--epochs", "3"]):
        subprocess.run([*command, *arguments], cwd=ROOT, env=environment(dashboard.workspace), check=True,
                       capture_output=True, timeout=120)  # fmt: skip


def test_from_the_verdict_to_the_sound(dashboard: Dashboard) -> None:
    context = dashboard.context(1440)
    page = dashboard.page(context, "/diagnostics")
    main = settled(page)
    expect(main.locator(".stMarkdownBadge").first).to_have_text(re.compile("(A is better|B is better|Undecided)$"))
    expect(main.locator(".st-key-verdict .js-plotly-plot")).to_be_visible()
    dashboard.picture(page, "diagnostics-overview-light-wide")

    go(page, "Confusions")
    cell = middle_of_a_cell(page)
    page.mouse.move(cell["x"], cell["y"])
    page.mouse.click(cell["x"], cell["y"])
    expect(main.get_by_text(re.compile(rf"^{int(cell['count'])} samples? of \w+ rightly named"))).to_be_visible()
    settled(page)
    hear(page, ".st-key-cell-clips")

    # The same by the keyboard: a playlist, and one of its samples up close.
    main.get_by_role("radio", name="Closest calls").click()
    expect(main.get_by_text(re.compile("by how little A's first choice leads"))).to_be_visible()
    settled(page)
    box = page.get_by_test_id("stSelectbox").filter(has_text="Look closer at").get_by_role("combobox")
    # A list that was opened while the page was still being drawn closes again.
    for _ in range(4):
        box.click()
        with suppress(TimeoutError):
            page.get_by_role("option").first.click(timeout=5_000)
            break
    settled(page)
    expect(main.locator(".st-key-closer-log-mel .js-plotly-plot")).to_be_visible()
    expect(main.locator(".st-key-closer-B .js-plotly-plot")).to_be_visible()
    main.get_by_text("The most similar training samples").click()
    expect(main.locator(".st-key-closer-similar .sm-play")).to_have_count(5, timeout=60_000)
    settled(page)
    hear(page, ".st-key-closer-similar")
    dashboard.picture(page, "diagnostics-closer-light-wide")
    dashboard.check(page)
    context.close()


def test_an_operating_point_is_kept(dashboard: Dashboard) -> None:
    context = dashboard.context(1280)
    page = dashboard.page(context, "/diagnostics?split=val&section=thresholds")
    main = settled(page)
    slider = main.get_by_role("slider")
    slider.focus()
    for _ in range(20):
        slider.press("ArrowLeft")
    settled(page)
    keep = main.get_by_role("button", name="Keep with the checkpoint")
    expect(keep).to_be_visible()
    keep.click()
    expect(main.get_by_text(re.compile("^Kept with A"))).to_be_visible()
    main.get_by_role("button", name="Answer always again").click()
    expect(main.get_by_text(re.compile("^Kept with A"))).to_have_count(0)
    settled(page)
    dashboard.check(page)

    go(page, "Report")
    with page.expect_download() as download:
        main.get_by_role("button", name="Numbers (JSON)").click()
    data = json.loads(Path(download.value.path()).read_text())
    assert [model["name"] for model in data["models"]] == ["A", "B"]
    assert data["split"] == "val"
    with page.expect_download() as download:
        main.get_by_role("button", name="Report (HTML)").click()
    alone = context.new_page()
    context.set_offline(True)
    alone.set_content(Path(download.value.path()).read_text())
    expect(alone.get_by_role("heading", name="Verdict")).to_be_visible()
    wait_until(
        lambda: alone.evaluate("() => document.querySelectorAll('.js-plotly-plot .main-svg').length") > 8,
        "the report's figures are drawn without a network",
    )
    alone.screenshot(path=dashboard.pictures / "diagnostics-report.png")
    context.close()


def test_every_section_fits_a_narrow_screen_in_both_looks(dashboard: Dashboard) -> None:
    context = dashboard.context(390, 844)
    page = dashboard.page(context, "/diagnostics")
    for section in SECTIONS:
        page.goto(f"{dashboard.url}/diagnostics?section={section}")
        main = settled(page)
        if section not in ("report", "labels"):
            # The last ones may lie in a part that is folded away.
            expect(main.locator(".js-plotly-plot:visible").first).to_be_visible()
        for scheme, ground in GROUNDS.items():
            page.emulate_media(color_scheme=scheme)
            expect(page.locator(".stApp")).to_have_css("background-color", ground)
            settled(page)
            assert page.evaluate(WIDEST) <= 390, f"{section} is wider than the screen"
            dashboard.picture(page, f"diagnostics-{section}-{scheme}-narrow")
        dashboard.check(page)
    context.close()


def go(page: Page, section: str) -> None:
    page.get_by_test_id("stMain").get_by_role("radio", name=section).click()
    settled(page)
    expect(page).to_have_url(re.compile(f"section={section.lower()}"))


def hear(page: Page, where: str) -> None:
    before = page.evaluate("() => window.samplemindSound?.started ?? 0")
    page.get_by_test_id("stMain").locator(f"{where} .sm-play").first.click()
    wait_until(lambda: page.evaluate("() => samplemindSound.started") > before, "the sample was heard")


def middle_of_a_cell(page: Page) -> dict[str, float]:
    """Return where a cell of A's diagonal lies that holds samples, and how many."""
    matrix = page.get_by_test_id("stMain").locator(".st-key-confusion-A .js-plotly-plot")
    matrix.scroll_into_view_if_needed()
    expect(matrix).to_be_visible()
    found: dict[str, float] = matrix.evaluate(
        """box => {
            const marks = box._fullData.find(t => t.type !== 'heatmap'), {xaxis, yaxis} = box._fullLayout;
            const at = marks.customdata.findIndex(([label, called, count]) => label === called && count > 0);
            const place = box.getBoundingClientRect();
            return {x: place.x + xaxis._offset + xaxis.d2p(marks.x[at]), count: marks.customdata[at][2],
                    y: place.y + yaxis._offset + yaxis.d2p(marks.y[at])};
        }"""
    )
    return found
