"""Every page on a narrow screen, light and dark: nothing sticks out, nothing breaks."""

from __future__ import annotations

import subprocess
import sys

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import GROUNDS, ROOT, Dashboard, environment, settled

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

NARROW = 390
PATHS = ("/", "/data", "/train", "/train?new=1", "/runs", "/experiments", "/diagnostics", "/learn", "/classify",
         "/system")  # fmt: skip
WIDEST = (
    "() => Math.max(document.scrollingElement.scrollWidth, document.querySelector('[data-testid=stMain]').scrollWidth)"
)


def test_every_page_fits_a_narrow_screen_in_both_looks(dashboard: Dashboard) -> None:
    command = [sys.executable, "-m", "samplemind_core"]
    for arguments in (["demo", "--per-class", "30"], ["train", "--dataset", "demo", "--epochs", "3"]):
        subprocess.run([*command, *arguments], cwd=ROOT, env=environment(dashboard.workspace), check=True,
                       capture_output=True, timeout=120)  # fmt: skip
    context = dashboard.context(NARROW, 844, "light")
    for path in PATHS:
        page = dashboard.page(context, path)
        main = settled(page)
        place = path.strip("/").partition("?")[0].capitalize()
        expect(page).to_have_title(f"{place} · SampleMind" if place else "SampleMind")
        if path in ("/data", "/train", "/diagnostics"):
            expect(main.locator(".js-plotly-plot").first).to_be_visible()
        if path == "/classify":
            clip = next(dashboard.workspace.glob("datasets/*/audio/**/*.wav"))
            main.locator("input[type=file]").set_input_files(clip)
            expect(main.locator(".js-plotly-plot")).to_have_count(3)
            settled(page)
        # The page follows the system from one look to the other, as it does at dusk.
        for scheme, ground in GROUNDS.items():
            page.emulate_media(color_scheme=scheme)
            expect(page.locator(".stApp")).to_have_css("background-color", ground)
            settled(page)
            assert page.evaluate(WIDEST) <= NARROW, f"{path} is wider than the screen"
            dashboard.picture(page, f"{path.strip('/').replace('?', '-').replace('=', '') or 'home'}-{scheme}-narrow")
        dashboard.check(page)
        page.close()
    context.close()
