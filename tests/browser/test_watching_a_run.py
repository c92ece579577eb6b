"""The Train page as people see it: a run that grows before their eyes, its verdict, and what they do about it.

The test itself is the worker of most runs here: it claims them and stores their epochs, so that what
appears, and when, does not depend on how fast anything trains.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from samplemind_core.config import build_config
from samplemind_core.settings import Settings
from samplemind_core.store import Epoch, Run
from samplemind_core.training import jobs
from samplemind_core.workspace import Workspace
from tests.browser.conftest import Dashboard, settled, wait_until

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

TINY = {"n_mels": 32, "duration_s": 0.5, "width": 0.5, "batch_size": 16, "device": "cpu"}
DRAWN = "box => box.data?.[0]?.x?.length ?? 0"
GHOSTS = "box => (box.data ?? []).filter(trace => trace.meta === 'ghost' && trace.x.length).length"
ENDS = """box => [...box.querySelectorAll('.annotation-text')].filter(text => /^(train|val) /.test(text.textContent))
  .map(text => text.getBoundingClientRect().top).sort((a, b) => a - b)"""
SLOW = 180_000


@pytest.fixture(scope="module")
def space(dashboard: Dashboard) -> Iterator[Workspace]:
    """The dashboard's workspace with a small dataset, opened by the test as well."""
    workspace = Workspace(Settings(workspace=dashboard.workspace, database_url=None, worker="external"))
    workspace.make_demo(per_class=10, name="demo")
    yield workspace
    workspace.close()


@pytest.fixture
def start(space: Workspace) -> Callable[..., Run]:
    """Store a run and take it as its worker."""

    def begin(name: str, epochs: int = 0, **more: Any) -> Run:
        config = build_config("quick", TINY | {"epochs": 40})
        now = 1_000.0 + len(space.store.runs.all(deleted=None))
        dataset = space.dataset("demo")
        run = Run(f"id-{name}", name, dataset.id, "running", config.model_dump(mode="json"), space_owner(), now, now,
                  worker=jobs.identity(), progress={"epochs": 40}, **more)  # fmt: skip
        space.store.runs.add(run)
        for number in range(1, epochs + 1):
            learn(space, run, number)
        return run

    return begin


def space_owner() -> str:
    from samplemind_core.workspace import machine_user

    return machine_user()


def learn(space: Workspace, run: Run, number: int, verdict: str = "healthy", **health: Any) -> None:
    """Store an epoch as the run's worker does, with its progress."""
    title = verdict.capitalize()
    told = {"verdict": verdict, "title": title, "reason": f"Because of epoch {number}.", "onset": None} | health
    losses = 1.6 / number, 1.8 / number
    recall = tuple(min(1.0, 0.1 * number + 0.05 * index) for index in range(6))
    space.store.runs.add_epoch(run.id, Epoch(number, *losses, 0.5, 0.45, 1e-3, 1.0, 500.0, told, recall))
    progress = {"epoch": number, "epochs": 40, "step": 1, "steps": 3, "clips_per_s": 500.0, "memory_bytes": 700_000_000}
    space.store.runs.heartbeat(run.id, jobs.identity(), progress=progress, best_epoch=number)


def charts(page: Page) -> Locator:
    return page.locator(".sm-chart.js-plotly-plot")


def drawn(page: Page, epochs: int) -> None:
    expect(charts(page)).to_have_count(4, timeout=SLOW)
    for index in range(4):
        chart = charts(page).nth(index)
        wait_until(lambda chart=chart: chart.evaluate(DRAWN) == epochs, f"chart shows {epochs} epochs", 60)  # type: ignore[misc]


def badge(page: Page, words: str) -> Locator:
    return page.get_by_test_id("stMain").locator(".stMarkdownBadge", has_text=re.compile(rf"{words}$")).first


def test_curves_grow_for_every_viewer(dashboard: Dashboard, space: Workspace, start: Callable[..., Run]) -> None:
    run = start("growing", epochs=2)
    contexts = [dashboard.context(), dashboard.context()]
    pages = [dashboard.page(context, f"/train?run={run.id}") for context in contexts]
    for page in pages:
        drawn(page, 2)
        page.evaluate("() => { window.marker = document.querySelector('.sm-chart.js-plotly-plot'); }")
    learn(space, run, 3)
    for page in pages:
        drawn(page, 3)
        assert page.evaluate("() => window.marker === document.querySelector('.sm-chart.js-plotly-plot')")
        expect(page.locator(".sm-progress")).to_contain_text(re.compile(r"Epoch 3 of 40.*700 MB of memory"))
        expect(page.locator(".sm-verdict")).to_contain_text("Because of epoch 3.")
    # A reload in the middle of it brings all of it back, and it goes on.
    pages[0].reload()
    drawn(pages[0], 3)
    # Drawn at once as well as grown, the names at the ends of lines that meet stand apart.
    tops = charts(pages[0]).first.evaluate(ENDS)
    assert tops[1] - tops[0] >= 12
    learn(space, run, 4)
    for page in pages:
        drawn(page, 4)
        dashboard.check(page)
    dashboard.picture(pages[0], "train-live-light-wide")
    for context in contexts:
        context.close()
    space.store.runs.end(run.id, "finished", "All 4 epochs are done.")


def test_a_run_that_ends_stays_the_one_that_is_shown(
    dashboard: Dashboard, space: Workspace, start: Callable[..., Run]
) -> None:
    run, newer = start("ending", epochs=2), start("newer", epochs=1)
    context = dashboard.context()
    page = dashboard.page(context, f"/train?run={run.id}")
    drawn(page, 2)
    space.store.runs.end(run.id, "finished", "All 2 epochs are done.")
    expect(badge(page, "Finished")).to_be_visible()
    chosen = page.get_by_test_id("stSelectbox").locator("input").first
    expect(chosen).to_have_value(re.compile("^ending · finished"))
    # The browser knows a choice by what it shows: what it was called before must not lead to another run.
    main = settled(page)
    main.get_by_text("Log scale").click()
    expect(page.locator(".stApp[data-test-script-state=running]")).to_have_count(0)
    expect(main.get_by_role("heading", name="ending", exact=True)).to_be_visible()
    wait_until(lambda: charts(page).first.evaluate("box => box.layout.yaxis.type") == "log", "the scale has changed")
    expect(page).to_have_url(re.compile(f"run={run.id}"))
    expect(main.get_by_role("heading", name="ending", exact=True)).to_be_visible()
    dashboard.check(page)
    context.close()
    space.store.runs.end(newer.id, "finished", "Enough of it.")


def test_a_verdict_appears_with_what_may_help(
    dashboard: Dashboard, space: Workspace, start: Callable[..., Run]
) -> None:
    run = start("memorising", epochs=4)
    context = dashboard.context()
    page = dashboard.page(context, f"/train?run={run.id}")
    drawn(page, 4)
    remedies = page.locator(".st-key-remedies")
    expect(remedies).to_have_count(0)
    named = [{"title": "More weight decay", "why": "It pulls.", "changes": {"train.weight_decay": 0.05}, "action": ""}]
    learn(space, run, 5, "overfitting", onset=5, confidence=0.97, remedies=named)
    expect(page.locator(".sm-badge[data-verdict=overfitting]")).to_be_visible()
    expect(page.locator(".sm-verdict")).to_contain_text("How sure: 97 %.")
    words = "box => (box.layout.annotations ?? []).map(note => note.text)"
    wait_until(lambda: "overfitting begins" in charts(page).first.evaluate(words), "its onset is marked on the chart")
    remedies.get_by_role("button", name="More weight decay").click()
    main = page.get_by_test_id("stMain")
    expect(main.get_by_role("heading", name="New run")).to_be_visible(timeout=SLOW)
    expect(main.get_by_text("Filled in: Weight decay 0.05")).to_be_visible()
    expect(page).to_have_url(re.compile(f"based_on={run.id}"))
    dashboard.check(page)
    context.close()
    space.store.runs.end(run.id, "finished", "Enough of it.")


def test_an_earlier_run_stands_behind_the_curves(
    dashboard: Dashboard, space: Workspace, start: Callable[..., Run]
) -> None:
    earlier = start("earlier", epochs=6)
    space.store.runs.end(earlier.id, "finished", "Done.")
    run = start("later", epochs=2, based_on=earlier.id)
    context = dashboard.context()
    page = dashboard.page(context, f"/train?run={run.id}")
    drawn(page, 2)
    # Made from it, so it is there from the start; this run's own lines stay what they are.
    wait_until(lambda: charts(page).first.evaluate(GHOSTS) == 2, "a pale line for training and one for validation")
    assert charts(page).nth(2).evaluate(GHOSTS) == 1
    before = charts(page).first.evaluate("box => box.data[0].y")
    main = page.get_by_test_id("stMain")
    main.get_by_text("Light", exact=True).click()
    wait_until(lambda: charts(page).first.evaluate("box => box.data.some(t => t.name?.includes('smoothed'))"), "a mean")
    assert charts(page).first.evaluate("box => box.data[0].y") == before
    main.get_by_text("Log scale").click()
    wait_until(lambda: charts(page).first.evaluate("box => box.layout.yaxis.type") == "log", "a logarithmic scale")
    numbers = charts(page).first.evaluate("box => box.layout.yaxis.ticktext")
    assert len(numbers) >= 3
    assert all(float(number) > 0 for number in numbers)
    drawn(page, 2)
    dashboard.check(page)
    dashboard.picture(page, "train-ghost-light-wide")
    context.close()
    space.store.runs.end(run.id, "finished", "Done.")


def test_a_run_stops_trains_longer_and_comes_back(dashboard: Dashboard, space: Workspace) -> None:
    """With a real worker, as its weights are needed to go on."""
    run = space.submit("demo", build_config("quick", TINY | {"epochs": 2}), name="short")
    context = dashboard.context(width=390, height=844, scheme="dark")
    page = dashboard.page(context, f"/train?run={run.id}")
    main = page.get_by_test_id("stMain")
    expect(badge(page, "Finished")).to_be_visible(timeout=180_000)
    drawn(page, 2)
    settled(page)
    main.get_by_role("button", name="Train longer").click()
    field = page.get_by_label("Further epochs")
    field.fill("2")
    field.press("Tab")
    page.get_by_role("button", name="Go on").click()
    wait_until(lambda: space.run(run.id).progress.get("epochs") == 4, "the run is queued for two more epochs")
    expect(badge(page, "Finished")).to_be_visible(timeout=180_000)
    drawn(page, 4)
    assert space.run(run.id).config["extended_at"] == [2]
    # One column, nothing beyond the screen.
    width = page.evaluate("() => document.querySelector('[data-testid=stMain]').scrollWidth")
    assert width <= 390
    dashboard.picture(page, "train-extended-dark-narrow")

    main.get_by_role("button", name="More").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(main.get_by_text("was deleted.").first).to_be_visible(timeout=SLOW)
    assert run.id not in [row.id for row in space.runs()]
    main.get_by_role("button", name="Undo").click()
    expect(page).to_have_url(re.compile(f"run={run.id}"), timeout=SLOW)
    wait_until(lambda: run.id in [row.id for row in space.runs()], "the run is back")
    dashboard.check(page)
    context.close()
