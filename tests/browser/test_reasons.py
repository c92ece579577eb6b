"""Why an answer came about, the map of samples and what the network withstands, as a person looks and listens."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from samplemind_core.config import build_config
from samplemind_core.settings import Settings
from samplemind_core.workspace import Workspace
from tests.browser.conftest import Dashboard, settled

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

TINY = {"n_mels": 32, "duration_s": 0.5, "width": 0.5, "batch_size": 16, "device": "cpu", "epochs": 2}


@pytest.fixture(scope="module")
def workspace_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a small trained network."""
    root = tmp_path_factory.mktemp("workspace")
    workspace = Workspace(Settings(workspace=root, database_url=None, worker="external"))
    workspace.make_demo(per_class=8, name="demo")
    workspace.train("demo", build_config("quick", TINY), name="first")
    workspace.close()
    return root


def test_reasons_are_seen_and_heard(dashboard: Dashboard) -> None:
    context = dashboard.context(scheme="dark")
    page = dashboard.page(context, "/diagnostics?section=why")
    main = settled(page)
    main.get_by_text("All", exact=True).click()
    expect(main.get_by_role("heading", name="Hear what decided")).to_be_visible(timeout=60_000)
    hear(page, main.get_by_role("button", name="Play What decided").first)
    main.get_by_role("button", name="Find the smallest change").click()
    expect(main.get_by_text("This describes the network")).to_be_visible(timeout=60_000)
    hear(page, main.get_by_role("button", name="Play Changed").first)
    dashboard.picture(page, "why-dark-wide")
    dashboard.check(page)
    context.close()


def test_a_point_of_the_map_is_heard(dashboard: Dashboard) -> None:
    context = dashboard.context()
    page = dashboard.page(context, "/diagnostics?section=embedding")
    main = settled(page)
    chart = main.locator(".js-plotly-plot").last
    expect(chart).to_be_visible(timeout=60_000)
    chart.scroll_into_view_if_needed()
    place = chart.evaluate(
        """box => { const trace = box._fullData[0], axes = box._fullLayout, edge = box.getBoundingClientRect();
        return [edge.x + axes.xaxis._offset + axes.xaxis.d2p(trace.x[0]),
                edge.y + axes.yaxis._offset + axes.yaxis.d2p(trace.y[0])]; }"""
    )
    page.mouse.move(*place)
    # A click means the point under the pointer, once Plotly has seen it there.
    expect(chart.locator(".hoverlayer .hovertext")).to_be_visible()
    page.mouse.click(*place)
    expect(main.get_by_text("1 sample chosen")).to_be_visible()
    expect(main.get_by_text("Its nearest neighbours")).to_be_visible()
    hear(page, main.get_by_role("button", name="Play ").first)
    dashboard.picture(page, "map-light-wide")
    dashboard.check(page)
    context.close()


def test_what_the_network_withstands_is_measured_and_kept(dashboard: Dashboard) -> None:
    context = dashboard.context(390, 844)
    page = dashboard.page(context, "/diagnostics?section=robustness")
    main = settled(page)
    main.get_by_role("button", name="Measure", exact=True).click()
    expect(main.get_by_role("heading", name="What it withstands")).to_be_visible(timeout=120_000)
    # Drawn last, once the page's process has the network and every changed sound: long on a busy machine.
    expect(main.get_by_role("heading", name="Train against it")).to_be_visible(timeout=120_000)
    settled(page)
    assert main.evaluate("element => element.scrollWidth <= element.clientWidth")
    dashboard.picture(page, "robustness-light-narrow")
    page.reload()
    expect(settled(page).get_by_role("heading", name="What it withstands")).to_be_visible()
    dashboard.check(page)
    context.close()


def hear(page: Page, button: Locator) -> None:
    """Click a play button and wait until a sound has begun."""
    before = page.evaluate("globalThis.samplemindSound?.started ?? 0")
    button.click()
    page.wait_for_function("before => (globalThis.samplemindSound?.started ?? 0) > before", arg=before)
