"""A reader walks through all chapters, moves every control once, answers every question, and is remembered."""

from __future__ import annotations

import re
from contextlib import suppress

import pytest
from playwright.sync_api import Locator, Page, expect
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from samplemind_core.ui.learn import CHAPTERS
from tests.browser.conftest import Dashboard, settled

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

PATIENCE_MS = 120_000
# Buttons that go to another page or chapter; the last chapter has no others.
LEADS_AWAY = ("learn-contents", "learn-next", "learn-previous", "learn-from-here")
KEYS_OF_BUTTONS = """main => [...main.querySelectorAll('[data-testid=stButton]')]
    .map(button => button.closest('[class*=st-key-]'))
    .map(box => [...(box?.classList ?? [])].find(name => name.startsWith('st-key-'))?.slice(7))
    .filter(Boolean)"""


def figures_drawn(main: Locator) -> None:
    """Wait until every figure of the chapter is there, each with its text alternative."""
    figures = main.locator(".sm-figure")
    for place in range(figures.count()):
        expect(figures.nth(place).locator(".main-svg").first).to_be_attached()
        assert len(figures.nth(place).get_attribute("aria-label") or "") > 20


def move_everything(page: Page, main: Locator) -> int:
    """Move every control of a chapter once; return how many there were."""
    moved = 0
    sliders = main.get_by_role("slider")
    while moved < sliders.count():
        # The next one may be redrawn for what this one says.
        slider = sliders.nth(moved)
        at_end = slider.get_attribute("aria-valuenow") == slider.get_attribute("aria-valuemax")
        slider.press("ArrowLeft" if at_end else "ArrowRight")
        settled(page)
        moved += 1
    groups = main.locator('[data-testid=stButtonGroup]:not([class*="-part"] [data-testid=stButtonGroup])')
    for place in range(groups.count()):
        groups.nth(place).get_by_role("button").or_(groups.nth(place).get_by_role("radio")).last.click()
        moved += 1
    boxes = main.get_by_test_id("stSelectbox")
    for place in range(boxes.count()):
        boxes.nth(place).locator("input").click()
        for key in ("ArrowDown", "Enter"):
            page.keyboard.press(key)
        settled(page)
        moved += 1
    switches = main.get_by_test_id("stCheckbox")
    for place in range(switches.count()):
        switches.nth(place).locator("label").click()
        moved += 1
    settled(page)
    # What runs goes last: while it does, other buttons come and go.
    for key in sorted(main.evaluate(KEYS_OF_BUTTONS), key=lambda name: name.endswith("-run")):
        button = main.locator(f".st-key-{key} button")
        if key.startswith(LEADS_AWAY) or button.count() == 0 or not button.first.is_enabled():
            continue
        button.first.click()
        moved += 1
        if key.endswith("-run"):
            # It may be over before it can be stopped. A click on a button that is just being redrawn is lost.
            over = main.locator(f".st-key-{key} button[disabled]")
            stop = main.locator(f".st-key-{key.removesuffix('-run')}-stop button")
            try:
                expect(over.or_(stop).first).to_be_visible(timeout=15_000)
            except AssertionError:
                button.first.click()
                expect(over.or_(stop).first).to_be_visible()
            with suppress(PlaywrightTimeout):
                stop.click(timeout=5_000)
        settled(page)
    return moved


def answer(main: Locator, slug: str) -> None:
    """Answer a chapter's question, from the first option on, until the answer is right."""
    options = main.locator(f".st-key-learn-question-{slug} [role=radiogroup] label")
    for place in range(options.count()):
        options.nth(place).click()
        said = main.locator(f"[class*=st-key-learn-answer-{place}-]")
        expect(said).to_be_visible()
        if "right" in (said.get_attribute("class") or ""):
            return
    raise AssertionError(f"No answer of {slug} is right")


def test_a_reader_walks_through_every_chapter_and_is_remembered(dashboard: Dashboard) -> None:
    context = dashboard.context()
    page = dashboard.page(context, "/learn")
    main = settled(page)
    main.get_by_role("button", name="Start with the first chapter").click()
    for place, chapter in enumerate(CHAPTERS):
        expect(page).to_have_url(re.compile(f"chapter={chapter.slug}"))
        expect(main.get_by_test_id("stHeading").first).to_have_text(chapter.title)
        # The first chapter imports torch, and some make hundreds of sounds.
        page.locator('.stApp[data-test-script-state="notRunning"]').wait_for(timeout=PATIENCE_MS)
        settled(page)
        parts = main.locator(f".st-key-learn-{chapter.slug}-part").get_by_role("radio")
        moved = 0
        for part in range(max(1, parts.count())):
            if part:
                # The browser checks the radio at once; the address follows when the part is being drawn.
                before = page.url
                parts.nth(part).click()
                expect(page).not_to_have_url(before)
                settled(page)
            figures_drawn(main)
            moved += move_everything(page, main)
            figures_drawn(main)
        assert moved or chapter.slug == "from-here"
        answer(main, chapter.slug)
        dashboard.check(page)
        if place + 1 < len(CHAPTERS):
            main.get_by_role("button", name=f"{CHAPTERS[place + 1].number} {CHAPTERS[place + 1].title}").click()
    page.goto(f"{dashboard.url}/learn")
    expect(settled(page).get_by_text("You have done every chapter.")).to_be_visible()
    # Another viewer has a course of their own.
    other = dashboard.page(dashboard.context(), "/learn")
    expect(settled(other).get_by_role("button", name="Start with the first chapter")).to_be_visible()
    main.get_by_role("button", name="Forget my progress").click()
    expect(main.get_by_role("button", name="Start with the first chapter")).to_be_visible()
    page.reload()
    expect(settled(page).get_by_role("button", name="Start with the first chapter")).to_be_visible()
    dashboard.check(page)
    context.close()
