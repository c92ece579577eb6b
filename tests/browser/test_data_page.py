"""The Data page as a person uses it: filter, hear, relabel by key, take back, and send the address."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from playwright.sync_api import Locator, Page, expect

from samplemind_core.settings import Settings
from samplemind_core.workspace import Workspace
from tests.browser.conftest import Dashboard, settled, wait_until

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
MANY = 3_000


@pytest.fixture(scope="module")
def kits(dashboard: Dashboard) -> Iterator[Workspace]:
    """A dataset of thousands of clips that share eight short sounds."""
    workspace = Workspace(Settings(workspace=dashboard.workspace, worker="external"))
    sounds = dashboard.workspace / "sounds"
    time_s = np.arange(1_600) / 8_000
    for label, pitch_hz in (("hihat", 2_000), ("kick", 90), ("snare", 400)):
        for number in range(4):
            path = sounds / label / f"kit{number}" / f"{label}-{number}.wav"
            path.parent.mkdir(parents=True)
            tone = np.sin(2 * np.pi * pitch_hz * (1 + 0.02 * number) * time_s) * np.exp(-time_s / 0.05)
            sf.write(path, 0.5 * tone, 8_000, subtype="PCM_16")
    small = workspace.import_dataset(sounds, name="small")
    clips = workspace.clips("small")
    big = replace(small, id="big", name="kits", num_clips=MANY, created_at=small.created_at + 1)
    rows = [
        replace(
            clips[row % 12],
            row=row,
            id=None,
            name=f"kits/{row:04d}-{Path(clips[row % 12].name).name}",
            split=("train", "val", "test")[row // 12 % 3],
        )
        for row in range(MANY)
    ]
    (dashboard.workspace / "datasets" / "big").symlink_to(dashboard.workspace / "datasets" / small.id)
    workspace.store.datasets.add(big, rows)
    yield workspace
    workspace.close()


def test_thousands_of_samples_are_filtered_heard_and_changed(dashboard: Dashboard, kits: Workspace) -> None:
    context = dashboard.context(width=1440)
    page = dashboard.page(context, "/data?dataset=big&section=samples")
    grid = page.get_by_role("grid", name="Samples")
    expect(grid.get_by_role("row").first).to_be_visible()
    expect(page.locator(".sb-count")).to_have_text("3,000 samples")
    # Only what is in view exists.
    assert grid.get_by_role("row").count() < 40
    hear_with_the_keyboard(page, grid)
    scroll_to_the_end(page, grid)
    filter_and_send(dashboard, page)
    relabel_and_take_back(dashboard, page, grid, kits)
    exclude_several(page, grid, kits)
    somebody_else_was_faster(dashboard, page, grid, kits)
    see_it_in_the_history(page)
    dashboard.check(page)
    context.close()


def started(page: Page) -> int:
    return int(page.evaluate("() => samplemindSound.started"))


def hear_with_the_keyboard(page: Page, grid: Locator) -> None:
    grid.focus()
    for number in (1, 2, 3):
        before = started(page)
        page.keyboard.press("ArrowDown")
        wait_until(lambda before=before: started(page) > before, "the sample was heard")
        expect(grid.locator(f"#sb-row-{number}")).to_have_class(re.compile("sb-active"))
    assert grid.get_attribute("aria-activedescendant") == "sb-row-3"
    detail = page.get_by_role("complementary", name="Chosen sample")
    expect(detail.get_by_role("heading")).to_have_text(re.compile("^0003-"))
    expect(detail.get_by_role("img", name=re.compile("^Log-mel spectrogram"))).to_be_visible()
    expect(detail.locator("dl")).to_contain_text("8,000 Hz, mono")
    detail.get_by_role("button", name="Hear what the network hears").click()
    before = started(page)
    expect(detail.locator(".sb-warnings li").first).to_be_visible()
    wait_until(lambda: started(page) >= before, "what the network hears was heard")


def scroll_to_the_end(page: Page, grid: Locator) -> None:
    grid.focus()
    page.keyboard.press("End")
    expect(grid.locator("#sb-row-2999")).to_contain_text("2999-")
    assert grid.get_by_role("row").count() < 40
    page.keyboard.press("Home")
    expect(grid.locator("#sb-row-0")).to_contain_text("0000-")


def filter_and_send(dashboard: Dashboard, page: Page) -> None:
    page.get_by_label("Class", exact=True).select_option("snare")
    expect(page.locator(".sb-count")).to_have_text("1,000 samples")
    page.get_by_label("Search names and sources").fill("kits/00")
    expect(page.locator(".sb-count")).to_have_text("32 samples")
    wait_until(lambda: "label=snare" in page.url and "text=kits" in page.url, "the filter stands in the address")
    other = dashboard.page(page.context, page.url.removeprefix(dashboard.url))
    expect(other.locator(".sb-count")).to_have_text("32 samples")
    dashboard.check(other)
    other.close()
    page.get_by_label("Search names and sources").fill("nothing is called so")
    page.get_by_role("button", name="Show all samples").click()
    expect(page.locator(".sb-count")).to_have_text("3,000 samples")


def relabel_and_take_back(dashboard: Dashboard, page: Page, grid: Locator, kits: Workspace) -> None:
    main = page.get_by_test_id("stMain")
    grid.locator("#sb-row-5").click()
    label = kits.clips("big")[5].label
    place, other = next((place, name) for place, name in enumerate(("hihat", "kick", "snare"), 1) if name != label)
    page.keyboard.press(str(place))
    expect(page.locator(".sb-note")).to_contain_text(f"Relabelled 1 sample as {other}. Version 2.")
    expect(grid.locator("#sb-row-5 .sb-label")).to_contain_text(other)
    # The rest of the page follows without a reload.
    expect(main.get_by_text(re.compile(r"^Version 2 · 3,000 samples"))).to_be_visible()
    page.keyboard.press("u")
    expect(page.locator(".sb-note")).to_contain_text("Undid: Relabelled 1 sample")
    expect(grid.locator("#sb-row-5 .sb-label")).to_contain_text(label)
    page.keyboard.press("l")
    page.get_by_label("Class", exact=True).last.fill("rimshot")
    page.keyboard.press("Enter")
    expect(page.locator(".sb-note")).to_contain_text("Relabelled 1 sample as rimshot")
    expect(main.get_by_text(re.compile(r"^Version 4 · 3,000 samples · 4 classes"))).to_be_visible()
    dashboard.picture(page, "data-samples-light-wide")


def exclude_several(page: Page, grid: Locator, kits: Workspace) -> None:
    for row in (1, 2):
        grid.locator(f"#sb-row-{row}").get_by_role("checkbox").check()
    expect(page.get_by_text("2 selected")).to_be_visible()
    page.get_by_role("button", name="Exclude", exact=True).click()
    expect(page.locator(".sb-count")).to_have_text("2,998 samples")
    page.get_by_label("Taking part or excluded").select_option("excluded")
    expect(page.locator(".sb-count")).to_have_text("2 samples")
    page.get_by_label("Select all 2 samples").check()
    page.get_by_role("button", name="Include", exact=True).click()
    expect(page.locator(".sb-count")).to_have_text("0 samples")
    page.get_by_label("Taking part or excluded").select_option("")
    expect(page.locator(".sb-count")).to_have_text("3,000 samples")


def somebody_else_was_faster(dashboard: Dashboard, page: Page, grid: Locator, kits: Workspace) -> None:
    settled(page)
    kits.edit("big", by="Bo").exclude([kits.clips("big")[100].id or 0])
    grid.focus()
    page.keyboard.press("x")
    expect(page.locator(".sb-note")).to_contain_text("by Bo: Excluded 1 sample")
    # The list shows the new version; the same key now works.
    expect(page.locator(".sb-count")).to_have_text("2,999 samples")
    page.keyboard.press("x")
    expect(page.locator(".sb-count")).to_have_text("2,998 samples")
    # The browser's console tells of the refusal that was meant to be.
    dashboard.faults[:] = [fault for fault in dashboard.faults if "409" not in fault]


def see_it_in_the_history(page: Page) -> None:
    main = page.get_by_test_id("stMain")
    main.get_by_role("radio", name="History").or_(main.get_by_role("button", name="History")).first.click()
    expect(main.get_by_text("Bo · ")).to_be_visible()
    expect(main.get_by_text("Relabelled 1 sample as rimshot").first).to_be_visible()
    settled(page)
    main.get_by_role("button", name="Undo").click()
    expect(main.get_by_text(re.compile("Undid: Excluded 1 sample")).first).to_be_visible()


@pytest.mark.parametrize(("scheme", "sections"), [("light", ("splits", "history")), ("dark", ("samples", "overview"))])
def test_every_section_fits_a_narrow_screen(
    dashboard: Dashboard, kits: Workspace, scheme: str, sections: tuple[str, ...]
) -> None:
    context = dashboard.context(width=390, height=844, scheme=scheme)
    page = dashboard.page(context, "/data?dataset=big&section=" + sections[0])
    for section in sections:
        page.goto(f"{dashboard.url}/data?dataset=big&section={section}")
        main = settled(page)
        if section == "samples":
            expect(page.get_by_role("grid", name="Samples").get_by_role("row").first).to_be_visible()
        wide = main.evaluate("element => element.scrollWidth - element.clientWidth")
        assert wide <= 1, f"{section} is {wide} px wider than the screen"
        dashboard.picture(page, f"data-{section}-{scheme}-narrow")
    dashboard.check(page)
    context.close()
