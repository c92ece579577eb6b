"""The Classify page in a browser: drop one, several and a long file, record, two models, a narrow screen."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import FLAGS, ROOT, Dashboard, environment, settled, wait_until

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

RATE = 22_050
STARTED = "() => globalThis.samplemindSound?.started ?? 0"


@pytest.fixture(scope="module")
def trained(dashboard: Dashboard) -> Dashboard:
    for arguments in (["demo", "--per-class", "30"], ["train", "--dataset", "demo", "--epochs", "3"]):
        subprocess.run([sys.executable, "-m", "samplemind_core", *arguments], cwd=ROOT,
                       env=environment(dashboard.workspace), check=True, capture_output=True, timeout=240)  # fmt: skip
    return dashboard


def clips(dashboard: Dashboard) -> list[Path]:
    return sorted(dashboard.workspace.glob("datasets/*/audio/**/*.wav"))


def drop(page: Page, *files: Path) -> Locator:
    main = settled(page)
    main.locator("input[type=file]").set_input_files(files)
    expect(main.get_by_test_id("stMetric").or_(main.get_by_test_id("stDataFrame")).first).to_be_visible()
    return settled(page)


def heard(page: Page, click: Locator) -> None:
    before = page.evaluate(STARTED)
    click.click()
    wait_until(lambda: page.evaluate(STARTED) > before, "something was heard")


def test_drop_one_and_hear_the_evidence(trained: Dashboard) -> None:
    context = trained.context()
    page = trained.page(context, "/classify")
    main = drop(page, clips(trained)[0])
    expect(main.get_by_test_id("stMetric")).to_contain_text("% sure")
    expect(main.locator(".js-plotly-plot")).to_have_count(3)
    expect(main.get_by_text("Answered in")).to_be_visible()
    heard(page, main.locator(".st-key-classify-player .sm-play"))
    heard(page, main.locator(".st-key-classify-nearest .sm-play").first)
    trained.picture(page, "classify-one")
    trained.check(page)
    context.close()


def test_a_long_file_plays_from_where_it_is_clicked(trained: Dashboard, tmp_path: Path) -> None:
    sound = np.zeros(5 * RATE)
    for number, start_s in enumerate((0.2, 1.1, 2.6, 3.8)):
        hit, rate = sf.read(clips(trained)[number])
        hit = hit[: RATE // 2 * rate // RATE : max(1, rate // RATE)]
        place = round(start_s * RATE)
        sound[place : place + len(hit)] = 0.8 * hit / np.abs(hit).max()
    sf.write(tmp_path / "loop.wav", sound, RATE)
    for width, scheme in ((1280, "light"), (390, "dark")):
        context = trained.context(width, 900, scheme)
        page = trained.page(context, "/classify")
        main = drop(page, tmp_path / "loop.wav")
        expect(main.get_by_role("heading", name="What sounds where")).to_be_visible()
        rows = main.locator(".st-key-classify-segments .sm-row")
        expect(rows).to_have_count(4)
        heard(page, rows.nth(2).locator(".sm-play"))
        timeline = main.locator(".st-key-classify-timeline canvas")
        timeline.scroll_into_view_if_needed()
        heard(page, timeline)  # in its middle
        widest = page.evaluate("() => document.querySelector('[data-testid=stMain]').scrollWidth")
        assert widest <= width
        trained.picture(page, f"classify-long-{width}-{scheme}")
        trained.check(page)
        context.close()


def test_several_at_once_and_a_second_checkpoint(trained: Dashboard, tmp_path: Path) -> None:
    (tmp_path / "notes.wav").write_text("not a sound")
    sf.write(tmp_path / "noise.wav", np.random.default_rng(0).normal(0, 0.1, 2 * RATE), RATE)
    context = trained.context()
    page = trained.page(context, "/classify")
    main = drop(page, *clips(trained)[:3], tmp_path / "notes.wav", tmp_path / "noise.wav")
    expect(main.get_by_text(re.compile(r"^5 samples in .*, 1 could not be read, .*nothing it knows"))).to_be_visible()
    expect(main.locator("dl", has_text="notes.wav").locator("dd")).to_contain_text("text file")
    page.get_by_test_id("stSelectbox").filter(has_text="Compare with").get_by_role("combobox").click()
    page.get_by_role("option", name=re.compile("last")).click()
    settled(page)
    expect(main.get_by_text(re.compile("They (disagree on|agree on all)"))).to_be_visible()
    assert "with=" in page.url
    trained.picture(page, "classify-several")
    trained.check(page)
    context.close()


def test_record_with_a_microphone(trained: Dashboard) -> None:
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    fake = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    browser = trained.browser.browser_type.launch(executable_path=program, args=[*FLAGS, *fake])
    try:
        context = browser.new_context(permissions=["microphone"])
        page = trained.page(context, "/classify")
        main = settled(page)
        main.get_by_role("radio", name="Record").or_(
            main.get_by_role("button", name="Record", exact=True)
        ).first.click()
        settled(page)
        recorder = main.get_by_test_id("stAudioInput")
        recorder.get_by_role("button", name="Record", exact=True).click()
        # The fake device beeps every second; a sound needs a moment to be one.
        stop = recorder.get_by_role("button", name="Stop recording")
        expect(stop).to_be_visible()
        expect(recorder.get_by_text(re.compile(r"^00:0[1-9]$"))).to_be_visible()
        stop.click()
        expect(main.get_by_test_id("stMetric")).to_contain_text("% sure")
        settled(page)
        trained.check(page)
    finally:
        browser.close()
